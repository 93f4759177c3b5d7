//! Nodes: the machines that serve workspaces.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::text::words;
use crate::clock::Timestamp;
use crate::id::{FleetId, Mark, NodeId, WorkspaceId};

words! {
    /// Where a node stands in its life.
    NodeState {
        /// Its machine is being made.
        Creating = "creating",
        /// Its machine was started and was not met yet.
        Booting = "booting",
        /// It was met, but nobody has confirmed its host key: no secret goes to it.
        Unverified = "unverified",
        /// It was met for the first time and is being set up.
        Bootstrapping = "bootstrapping",
        /// It serves.
        Ready = "ready",
        /// It runs, but something on it is not as it should be.
        Degraded = "degraded",
        /// Its machine does not run; or, where people brought it, not what was set up on it.
        Stopped = "stopped",
        /// It is being destroyed.
        Deprovisioning = "deprovisioning",
        /// Nothing is left but the record.
        Gone = "gone",
    }
}

words! {
    /// What a node is to its workspace.
    NodeRole {
        /// It serves it.
        Serving = "serving",
        /// A rebuild makes it, to serve from some moment on.
        Incoming = "incoming",
        /// Another serves in its place; it is being destroyed.
        Outgoing = "outgoing",
    }
}

/// The machine that serves a workspace, or takes over from the one that does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, sqlx::FromRow)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// The workspace that it serves.
    pub workspace_id: WorkspaceId,
    /// What everything made outside for this node carries.
    pub mark: Mark,
    /// The provider's name in the fleet's files.
    pub provider: String,
    /// The provider's kind (`local`, `ovh-cloud`, …).
    pub kind: String,
    /// Where it stands.
    pub state: NodeState,
    /// Its addresses, the one to use first in front.
    #[sqlx(json)]
    pub addresses: Vec<IpAddr>,
    /// The TCP port of its sshd.
    #[sqlx(try_from = "i64")]
    pub ssh_port: u16,
    /// The management user.
    pub user: String,
    /// The single-use host key that went in with the user-data (OpenSSH's public format, as all three keys).
    pub bootstrap_host_key: Option<String>,
    /// The host key that the node made for itself.
    pub host_key: Option<String>,
    /// A host key that the node made and may have put in use.
    pub host_key_pending: Option<String>,
    /// Whether its host key was known beforehand or confirmed by an operator; secrets go to verified nodes only.
    pub verified: bool,
    /// The age recipient (`age1…`) of the identity that the node made.
    pub recipient: Option<String>,
    /// The key of the image that it was made from.
    pub image: Option<String>,
    /// The version of its node agent.
    pub agent_version: Option<String>,
    /// The digest of the plan that it was last converged to.
    pub playbook_digest: Option<String>,
    /// What those who made it want to remember: `arch`, Debian's name of its image's architecture; `size`, as declared then.
    #[sqlx(json)]
    pub details: serde_json::Value,
    /// The fence of the last lease that wrote this record; a lower one is refused.
    #[sqlx(try_from = "i64")]
    pub fence: u64,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When its record last changed; set by the store.
    pub updated_at: Timestamp,
    /// The host that a local node lies on; its workflows run there.
    pub host: Option<String>,
    /// The recipient of an identity that the node made and may have put in use.
    pub recipient_pending: Option<String>,
    /// What it is to its workspace.
    pub role: NodeRole,
}

impl Node {
    /// A new node, to be created; [`super::Tx::insert_node`] records it.
    pub fn new(
        fleet: &FleetId,
        workspace: WorkspaceId,
        provider: impl Into<String>,
        kind: impl Into<String>,
        now: Timestamp,
    ) -> Self {
        let id = NodeId::new();
        Self {
            id,
            workspace_id: workspace,
            mark: Mark::new(fleet, id),
            provider: provider.into(),
            kind: kind.into(),
            state: NodeState::Creating,
            addresses: Vec::new(),
            ssh_port: 22,
            user: "stead".into(),
            bootstrap_host_key: None,
            host_key: None,
            host_key_pending: None,
            verified: false,
            recipient: None,
            image: None,
            agent_version: None,
            playbook_digest: None,
            details: serde_json::Value::Object(serde_json::Map::new()),
            fence: 0,
            created_at: now,
            updated_at: now,
            host: None,
            recipient_pending: None,
            role: NodeRole::Serving,
        }
    }

    /// The host keys that this node may present, in OpenSSH's public format: current and pending ones, or the bootstrap
    /// key before the node has one of its own. Once it has, the bootstrap key is never trusted again, since a workload
    /// may read user-data for ever.
    pub fn accepted_host_keys(&self) -> Vec<&str> {
        match (&self.host_key, &self.host_key_pending) {
            // The pending key is recorded before it is installed: until then the bootstrap key is still in use.
            (None, pending) => self.bootstrap_host_key.iter().chain(pending).map(String::as_str).collect(),
            (current, pending) => current.iter().chain(pending).map(String::as_str).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};

    #[test]
    fn the_bootstrap_key_is_trusted_only_until_the_node_has_its_own() {
        let mut node = Node::new(&FleetId::mint(), WorkspaceId::new(), "local", "local", SystemClock.now());
        node.bootstrap_host_key = Some("boot".into());
        assert_eq!(node.accepted_host_keys(), ["boot"]);
        node.host_key_pending = Some("own".into());
        assert_eq!(node.accepted_host_keys(), ["boot", "own"], "a crash before the installation loses no node");
        node.host_key = node.host_key_pending.take();
        assert_eq!(node.accepted_host_keys(), ["own"]);
        node.host_key_pending = Some("next".into());
        assert_eq!(node.accepted_host_keys(), ["own", "next"]);
    }
}
