//! Workspaces together with the nodes that serve them: what servers are asked for most.

use std::collections::HashMap;

use serde::Deserialize;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, Row, SqliteConnection};

use crate::Result;
use crate::id::{NodeId, WorkspaceId};
use crate::store::reader::Connection;
use crate::store::{Node, Reader, Suspension, Workspace, database};

impl Reader {
    /// Workspaces, gone or not, with the nodes that serve them.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn workspaces_with_nodes(
        &mut self,
        ids: Vec<WorkspaceId>,
    ) -> Result<HashMap<WorkspaceId, (Workspace, Option<Node>)>> {
        let ids = Json(self.ids(&ids));
        let found = match self.connection() {
            Connection::Sqlite(connection) => as_one_value(connection, ids).await,
            Connection::Postgres(connection) => as_rows(connection, ids).await,
        };
        if let Err(error) = &found {
            self.note_failure(error).await;
        }
        let found = found.map_err(|error| database("reading workspaces", error))?;
        Ok(found.into_iter().map(|WithNode(workspace, node)| (workspace.id, (workspace, node))).collect())
    }
}

/// As `audit_chain` reads, for the same reason. The columns stand in the order of the records' fields.
async fn as_one_value(connection: &mut SqliteConnection, ids: Json<Vec<String>>) -> sqlx::Result<Vec<WithNode>> {
    let found: Json<_> = sqlx::query_scalar(
        "SELECT json_group_array(json_array( \
             json_array(w.id, w.slug, w.tier, w.managed_by, w.state, w.revision_id, w.created_at, w.updated_at, w.name, \
                 w.version, json(w.suspension)), \
             iif(n.id IS NULL, NULL, json_array(n.id, n.workspace_id, n.mark, n.provider, n.kind, n.state, \
                 json(n.addresses), n.ssh_port, n.user, n.bootstrap_host_key, n.host_key, n.host_key_pending, \
                 json(iif(n.verified, 'true', 'false')), n.recipient, n.image, n.agent_version, n.playbook_digest, \
                 json(n.details), n.fence, n.created_at, n.updated_at, n.host, n.recipient_pending, n.role)))) \
         FROM workspaces w \
         LEFT JOIN nodes n ON n.workspace_id = w.id AND n.state <> 'gone' AND n.role = 'serving' \
         WHERE w.id IN (SELECT value FROM json_each($1))",
    )
    .bind(ids)
    .fetch_one(connection)
    .await?;
    Ok(found.0)
}

/// The workspace's columns have names of their own, so that the rest of the row is the node's. OFFSET 0 keeps PostgreSQL at
/// looking each up by its index: it would read both tables as a whole while it knows little about them, or they are small.
async fn as_rows(connection: &mut PgConnection, ids: Json<Vec<String>>) -> sqlx::Result<Vec<WithNode>> {
    sqlx::query_as(
        "SELECT n.*, w.id AS w_id, w.slug AS w_slug, w.tier AS w_tier, w.managed_by AS w_managed_by, w.state AS w_state, \
         w.revision_id AS w_revision_id, w.created_at AS w_created_at, w.updated_at AS w_updated_at, w.name AS w_name, \
         w.version AS w_version, w.suspension AS w_suspension \
         FROM jsonb_array_elements_text($1) AS asked \
         CROSS JOIN LATERAL (SELECT * FROM workspaces WHERE id = asked.value::uuid OFFSET 0) AS w \
         LEFT JOIN LATERAL (SELECT * FROM nodes WHERE workspace_id = w.id AND state <> 'gone' \
         AND role = 'serving' OFFSET 0) AS n ON true",
    )
    .bind(ids)
    .fetch_all(connection)
    .await
}

/// A workspace and its node.
#[derive(Deserialize)]
struct WithNode(Workspace, Option<Node>);

impl<'r> FromRow<'r, PgRow> for WithNode {
    fn from_row(row: &'r PgRow) -> sqlx::Result<Self> {
        let workspace = Workspace {
            id: row.try_get("w_id")?,
            slug: row.try_get("w_slug")?,
            tier: row.try_get("w_tier")?,
            managed_by: row.try_get("w_managed_by")?,
            state: row.try_get("w_state")?,
            revision_id: row.try_get("w_revision_id")?,
            created_at: row.try_get("w_created_at")?,
            updated_at: row.try_get("w_updated_at")?,
            name: row.try_get("w_name")?,
            version: u64::try_from(row.try_get::<i64, _>("w_version")?)
                .map_err(|error| sqlx::Error::Decode(error.into()))?,
            suspension: row.try_get::<Option<Json<Suspension>>, _>("w_suspension")?.map(|held| held.0),
        };
        let is_served = row.try_get::<Option<NodeId>, _>("id")?.is_some();
        Ok(Self(workspace, is_served.then(|| Node::from_row(row)).transpose()?))
    }
}
