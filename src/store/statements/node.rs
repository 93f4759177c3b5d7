//! Statements for nodes.

use std::collections::HashMap;

use sqlx::types::Json;

use super::signed;
use crate::id::{Mark, NodeId, WorkspaceId};
use crate::store::{Listed, Node, NodeRole, Reader, Tx};
use crate::{Error, Result};

impl Reader {
    /// A node by its id, gone or not.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn node(&mut self, id: NodeId) -> Result<Option<Node>> {
        held!(self, "reading a node", "SELECT * FROM nodes WHERE id = $1", id)
    }

    /// A node by its mark, gone or not.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn node_by_mark(&mut self, mark: &Mark) -> Result<Option<Node>> {
        optional!(self, "reading a node", "SELECT * FROM nodes WHERE mark = $1", mark)
    }

    /// The node that serves a workspace.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn node_of(&mut self, workspace: WorkspaceId) -> Result<Option<Node>> {
        held!(
            self,
            "reading a workspace's node",
            "SELECT * FROM nodes WHERE workspace_id = $1 AND role = 'serving' AND state <> 'gone'",
            workspace
        )
    }

    /// The node that is this to a workspace.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn node_as(&mut self, workspace: WorkspaceId, role: NodeRole) -> Result<Option<Node>> {
        held!(
            self,
            "reading a workspace's node",
            "SELECT * FROM nodes WHERE workspace_id = $1 AND role = $2 AND state <> 'gone'",
            workspace,
            role
        )
    }

    /// All of a workspace's nodes that are not gone, in the order of their making: beside the one that serves, those of a rebuild.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn all_nodes_of(&mut self, workspace: WorkspaceId) -> Result<Vec<Node>> {
        all!(
            self,
            "reading a workspace's nodes",
            "SELECT * FROM nodes WHERE workspace_id = $1 AND state <> 'gone' ORDER BY id",
            workspace
        )
    }

    /// The nodes that serve these workspaces, by workspace.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn nodes_of(&mut self, workspaces: &[WorkspaceId]) -> Result<HashMap<WorkspaceId, Node>> {
        if workspaces.is_empty() {
            return Ok(HashMap::new());
        }
        let ids = self.ids(workspaces);
        let nodes: Vec<Node> = all!(
            self,
            "reading the workspaces' nodes",
            (
                "SELECT * FROM nodes WHERE state <> 'gone' AND role = 'serving' AND workspace_id IN (SELECT value FROM json_each($1))",
                "SELECT * FROM nodes WHERE state <> 'gone' AND role = 'serving' AND workspace_id IN \
                 (SELECT value::uuid FROM jsonb_array_elements_text($1))"
            ),
            Json(ids),
        )?;
        Ok(nodes.into_iter().map(|node| (node.workspace_id, node)).collect())
    }

    /// Ids as the database has them.
    pub(super) fn ids(&self, workspaces: &[WorkspaceId]) -> Vec<String> {
        let id = |id: &WorkspaceId| if self.is_postgres() { id.uuid().to_string() } else { id.to_string() };
        workspaces.iter().map(id).collect()
    }

    /// At most `limit` nodes that are not gone, behind `after`, in the order of their making.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn nodes_page(&mut self, after: Option<NodeId>, limit: u32) -> Result<Vec<Node>> {
        all!(
            self,
            "reading the nodes",
            "SELECT * FROM nodes WHERE ($1 IS NULL OR id > $1) AND state <> 'gone' ORDER BY id LIMIT $2",
            after,
            i64::from(limit),
        )
    }

    /// Nodes in the order of their making.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn nodes(&mut self, listed: Listed) -> Result<Vec<Node>> {
        all!(
            self,
            "reading the nodes",
            "SELECT * FROM nodes WHERE $1 OR state <> 'gone' ORDER BY id",
            listed == Listed::All
        )
    }
}

impl Tx {
    /// Records a new node, before anything is made for it outside.
    ///
    /// # Errors
    /// Fails where its workspace has a live node of that role already.
    pub async fn insert_node(&mut self, node: &Node) -> Result<()> {
        let inserted = insert!(
            self,
            "recording a node",
            "INSERT INTO nodes (id, workspace_id, mark, provider, kind, state, addresses, ssh_port, \"user\", \
             bootstrap_host_key, host_key, host_key_pending, verified, recipient, image, agent_version, \
             playbook_digest, details, fence, created_at, updated_at, host, recipient_pending, role) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)",
            node.id,
            node.workspace_id,
            &node.mark,
            &node.provider,
            &node.kind,
            node.state,
            Json(&node.addresses),
            i64::from(node.ssh_port),
            &node.user,
            &node.bootstrap_host_key,
            &node.host_key,
            &node.host_key_pending,
            node.verified,
            &node.recipient,
            &node.image,
            &node.agent_version,
            &node.playbook_digest,
            Json(&node.details),
            signed(node.fence)?,
            node.created_at,
            node.updated_at,
            &node.host,
            &node.recipient_pending,
            node.role,
        )?;
        match inserted {
            true => Ok(()),
            false => Err(Error::failed(format!("the workspace {} has a node already", node.workspace_id))),
        }
    }

    /// Writes all of a node's record but its id, workspace, mark and provider; sets the time.
    ///
    /// # Errors
    /// Fails where there is no such node, and where its record was written under a higher fence: then another program
    /// has taken the work over, and this one must stop.
    pub async fn update_node(&mut self, node: &Node) -> Result<()> {
        let now = self.now();
        let updated = execute!(
            self,
            "writing a node",
            "UPDATE nodes SET state = $1, addresses = $2, ssh_port = $3, \"user\" = $4, bootstrap_host_key = $5, \
             host_key = $6, host_key_pending = $7, verified = $8, recipient = $9, image = $10, agent_version = $11, \
             playbook_digest = $12, details = $13, fence = $14, updated_at = $15, host = $16, recipient_pending = $17, role = $18 \
             WHERE id = $19 AND fence <= $14",
            node.state,
            Json(&node.addresses),
            i64::from(node.ssh_port),
            &node.user,
            &node.bootstrap_host_key,
            &node.host_key,
            &node.host_key_pending,
            node.verified,
            &node.recipient,
            &node.image,
            &node.agent_version,
            &node.playbook_digest,
            Json(&node.details),
            signed(node.fence)?,
            now,
            &node.host,
            &node.recipient_pending,
            node.role,
            node.id,
        )?;
        match updated {
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
