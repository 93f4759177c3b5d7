//! Statements for nodes.

use sqlx::types::Json;

use super::signed;
use crate::id::{Mark, NodeId, WorkspaceId};
use crate::store::{Listed, Node, Reader, Tx, database};
use crate::{Error, Result};

impl Reader {
    /// A node by its id, gone or not.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn node(&mut self, id: NodeId) -> Result<Option<Node>> {
        sqlx::query_as("SELECT * FROM nodes WHERE id = ?")
            .bind(id)
            .fetch_optional(self.sqlite())
            .await
            .map_err(|error| database("reading a node", error))
    }

    /// A node by its mark, gone or not.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn node_by_mark(&mut self, mark: &Mark) -> Result<Option<Node>> {
        sqlx::query_as("SELECT * FROM nodes WHERE mark = ?")
            .bind(mark)
            .fetch_optional(self.sqlite())
            .await
            .map_err(|error| database("reading a node", error))
    }

    /// The node that serves a workspace.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn node_of(&mut self, workspace: WorkspaceId) -> Result<Option<Node>> {
        sqlx::query_as("SELECT * FROM nodes WHERE workspace_id = ? AND state <> 'gone'")
            .bind(workspace)
            .fetch_optional(self.sqlite())
            .await
            .map_err(|error| database("reading a workspace's node", error))
    }

    /// Nodes in the order of their making.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn nodes(&mut self, listed: Listed) -> Result<Vec<Node>> {
        sqlx::query_as("SELECT * FROM nodes WHERE ?1 OR state <> 'gone' ORDER BY id")
            .bind(listed == Listed::All)
            .fetch_all(self.sqlite())
            .await
            .map_err(|error| database("reading the nodes", error))
    }
}

impl Tx {
    /// Records a new node, before anything is made for it outside.
    ///
    /// # Errors
    /// Fails where its workspace has a live node already.
    pub async fn insert_node(&mut self, node: &Node) -> Result<()> {
        let inserted = sqlx::query(
            "INSERT INTO nodes (workspace_id, mark, provider, kind, created_at, \
             state, addresses, ssh_port, user, bootstrap_host_key, host_key, host_key_pending, verified, recipient, \
             image, agent_version, playbook_digest, details, fence, updated_at, id) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(node.workspace_id)
        .bind(&node.mark)
        .bind(&node.provider)
        .bind(&node.kind)
        .bind(node.created_at);
        match mutable(inserted, node)?.bind(node.updated_at).bind(node.id).execute(self.sqlite()).await {
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                Err(Error::failed(format!("the workspace {} has a node already", node.workspace_id)))
            }
            other => other.map(drop).map_err(|error| database("recording a node", error)),
        }
    }

    /// Writes all of a node's record but its id, workspace, mark and provider; sets the time.
    ///
    /// # Errors
    /// Fails where there is no such node, and where its record was written under a higher fence: then another program
    /// has taken the work over, and this one must stop.
    pub async fn update_node(&mut self, node: &Node) -> Result<()> {
        let now = self.now();
        let update = sqlx::query(
            "UPDATE nodes SET state = ?, addresses = ?, ssh_port = ?, user = ?, bootstrap_host_key = ?, host_key = ?, \
             host_key_pending = ?, verified = ?, recipient = ?, image = ?, agent_version = ?, playbook_digest = ?, \
             details = ?, fence = ?, updated_at = ? WHERE id = ? AND fence <= ?",
        );
        let updated = mutable(update, node)?
            .bind(now)
            .bind(node.id)
            .bind(signed(node.fence)?)
            .execute(self.sqlite())
            .await
            .map_err(|error| database("writing a node", error))?;
        match updated.rows_affected() {
            1 => Ok(()),
            _ => match self.node(node.id).await? {
                Some(found) => Err(Error::failed(format!(
                    "the node {} was taken over by another program (fence {}, ours is {})",
                    node.id, found.fence, node.fence
                ))),
                None => Err(Error::failed(format!("there is no node {}", node.id))),
            },
        }
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// Binds what may change, in the order of the table's columns.
fn mutable<'q>(query: Query<'q>, node: &'q Node) -> Result<Query<'q>> {
    Ok(query
        .bind(node.state)
        .bind(Json(&node.addresses))
        .bind(node.ssh_port)
        .bind(&node.user)
        .bind(&node.bootstrap_host_key)
        .bind(&node.host_key)
        .bind(&node.host_key_pending)
        .bind(node.verified)
        .bind(&node.recipient)
        .bind(&node.image)
        .bind(&node.agent_version)
        .bind(&node.playbook_digest)
        .bind(Json(&node.details))
        .bind(signed(node.fence)?))
}
