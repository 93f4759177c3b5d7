//! What the control plane keeps of secrets: never a value.

use serde::Serialize;

use super::text::words;
use crate::clock::Timestamp;
use crate::id::{NodeId, SecretId, WorkspaceId};
use crate::wire::envelope::Envelope;

words! {
    /// Where a secret's value is.
    SecretState {
        /// Waiting for its node: in the operators' vault, or, where it came through the API, sealed for the node.
        Vault = "vault",
        /// On its node.
        Delivered = "delivered",
    }
}

/// A named value for one workspace's node, without the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct SecretRecord {
    /// Its id.
    pub id: SecretId,
    /// The workspace that it belongs to.
    pub workspace_id: WorkspaceId,
    /// Its name; one per workspace.
    pub name: String,
    /// Grows with every value that is set.
    #[sqlx(try_from = "i64")]
    pub version: u64,
    /// Keyed, salted hash of the value.
    pub fingerprint: String,
    /// The last four characters, of values longer than 16.
    pub masked_tail: Option<String>,
    /// The fingerprint's salt, in hexadecimal.
    pub salt: String,
    /// Where the value is.
    pub state: SecretState,
    /// The node that holds it.
    pub node_id: Option<NodeId>,
    /// When the node acknowledged it.
    pub delivered_at: Option<Timestamp>,
    /// When it was first set.
    pub created_at: Timestamp,
    /// When its record last changed; set by the store.
    pub updated_at: Timestamp,
    /// When the value was lost with the node that held it, which is still named; none once it was given again.
    pub lost_at: Option<Timestamp>,
}

impl SecretRecord {
    /// Whether a node holds a value, and nobody has removed it.
    pub fn is_in_use(&self) -> bool {
        self.node_id.is_some() && !self.is_removed() && self.lost_at.is_none()
    }

    /// Whether it was removed: then only its version is left, since a node takes none that is not above all it has seen.
    pub fn is_removed(&self) -> bool {
        self.fingerprint.is_empty()
    }

    /// Forgets what is known of the value.
    pub fn remove(&mut self) {
        self.fingerprint = String::new();
        self.salt = String::new();
        self.masked_tail = None;
        self.state = SecretState::Vault;
        self.delivered_at = None;
        self.lost_at = None;
    }
}

/// Signed ciphertext on its way to a node. Deleted when the node acknowledges it, or when its time is over.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct EnvelopeRecord {
    /// The node that it is for.
    pub node_id: NodeId,
    /// The secret's name.
    pub name: String,
    /// The value's version.
    #[sqlx(try_from = "i64")]
    pub version: u64,
    /// The ciphertext.
    #[sqlx(json)]
    pub envelope: Envelope,
    /// When it is removed even if the node never came.
    pub expires_at: Timestamp,
}
