//! What the API answers with, and what `--json` prints: the records as outsiders see them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::clock::Timestamp;
use crate::id::{Mark, NodeId, RevisionId, WorkspaceId};
use crate::store::{Listed, Node, Reader, Workspace};

/// A list of things.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List<T> {
    /// The things.
    pub items: Vec<T>,
}

/// A workspace, with its node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceView {
    /// Its id.
    pub id: WorkspaceId,
    /// Its name.
    pub slug: String,
    /// The tier's name.
    pub tier: String,
    /// `files` or `api`.
    pub managed_by: String,
    /// Where it stands.
    pub state: String,
    /// The revision that it was last brought to.
    pub revision: Option<RevisionId>,
    /// Its node.
    pub node: Option<NodeView>,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When its record last changed.
    pub updated_at: Timestamp,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// Its id.
    pub id: NodeId,
    /// The workspace that it serves.
    pub workspace_id: WorkspaceId,
    /// What everything made outside for this node carries.
    pub mark: Mark,
    /// The provider's name.
    pub provider: String,
    /// The provider's kind.
    pub kind: String,
    /// Where it stands.
    pub state: String,
    /// Its addresses, the one to use first in front.
    pub addresses: Vec<IpAddr>,
    /// The TCP port of its sshd.
    pub ssh_port: u16,
    /// The management user.
    pub user: String,
    /// Its SSH host key, in OpenSSH's public format.
    pub host_key: Option<String>,
    /// Whether its host key was known beforehand or confirmed by an operator.
    pub verified: bool,
    /// The key of the image that it was made from.
    pub image: Option<String>,
    /// The version of its node agent.
    pub agent_version: Option<String>,
    /// The digest of the plan that it was last converged to.
    pub playbook_digest: Option<String>,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When its record last changed.
    pub updated_at: Timestamp,
}

impl WorkspaceView {
    /// The view of a workspace and its node.
    pub fn new(workspace: Workspace, node: Option<Node>) -> Self {
        Self {
            id: workspace.id,
            slug: workspace.slug,
            tier: workspace.tier,
            managed_by: workspace.managed_by.to_string(),
            state: workspace.state.to_string(),
            revision: workspace.revision_id,
            node: node.map(NodeView::from),
            created_at: workspace.created_at,
            updated_at: workspace.updated_at,
        }
    }
}

impl From<Node> for NodeView {
    fn from(node: Node) -> Self {
        Self {
            id: node.id,
            workspace_id: node.workspace_id,
            mark: node.mark,
            provider: node.provider,
            kind: node.kind,
            state: node.state.to_string(),
            addresses: node.addresses,
            ssh_port: node.ssh_port,
            user: node.user,
            host_key: node.host_key,
            verified: node.verified,
            image: node.image,
            agent_version: node.agent_version,
            playbook_digest: node.playbook_digest,
            created_at: node.created_at,
            updated_at: node.updated_at,
        }
    }
}

/// The workspaces that are not gone, by slug, each with its node.
///
/// # Errors
/// Fails where the store does.
pub async fn workspaces(reader: &mut Reader) -> Result<List<WorkspaceView>> {
    let mut nodes: std::collections::HashMap<_, _> =
        reader.nodes(Listed::Live).await?.into_iter().map(|node| (node.workspace_id, node)).collect();
    let workspaces = reader.workspaces(Listed::Live).await?;
    let view = |workspace: Workspace| {
        let node = nodes.remove(&workspace.id);
        WorkspaceView::new(workspace, node)
    };
    Ok(List { items: workspaces.into_iter().map(view).collect() })
}

/// The nodes that are not gone.
///
/// # Errors
/// Fails where the store does.
pub async fn nodes(reader: &mut Reader) -> Result<List<NodeView>> {
    Ok(List { items: reader.nodes(Listed::Live).await?.into_iter().map(NodeView::from).collect() })
}
