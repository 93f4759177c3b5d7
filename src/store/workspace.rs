//! Workspaces: customers' tenancies.

use serde::Serialize;

use super::text::words;
use crate::clock::Timestamp;
use crate::id::{RevisionId, WorkspaceId};

words! {
    /// Who declares a workspace.
    ManagedBy {
        /// The fleet's files.
        Files = "files",
        /// The control API.
        Api = "api",
    }
}

words! {
    /// Where a workspace stands in its life.
    WorkspaceState {
        /// Declared; nothing was done for it yet.
        Pending = "pending",
        /// Its node is being made.
        Provisioning = "provisioning",
        /// Its node serves.
        Ready = "ready",
        /// Its node runs, but something on it is not as it should be.
        Degraded = "degraded",
        /// Stopped on purpose; its data is kept.
        Suspended = "suspended",
        /// Its node is being destroyed.
        Deprovisioning = "deprovisioning",
        /// Nothing is left but the record; its slug is free again.
        Gone = "gone",
    }
}

/// A customer's tenancy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Workspace {
    /// Its id.
    pub id: WorkspaceId,
    /// Its name in DNS and on the command line; unique without regard to case among those that are not gone.
    pub slug: String,
    /// The tier's name.
    pub tier: String,
    /// Who declares it.
    pub managed_by: ManagedBy,
    /// Where it stands.
    pub state: WorkspaceState,
    /// The revision that it was last brought to.
    pub revision_id: Option<RevisionId>,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When its record last changed; set by the store.
    pub updated_at: Timestamp,
    /// What people call it.
    pub name: Option<String>,
    /// Grows with every change of its record; set by the store.
    #[sqlx(try_from = "i64")]
    pub version: u64,
}

impl Workspace {
    /// A new workspace, pending; [`super::Tx::insert_workspace`] records it.
    pub fn new(slug: impl Into<String>, tier: impl Into<String>, managed_by: ManagedBy, now: Timestamp) -> Self {
        Self {
            id: WorkspaceId::new(),
            slug: slug.into(),
            tier: tier.into(),
            managed_by,
            state: WorkspaceState::Pending,
            revision_id: None,
            created_at: now,
            updated_at: now,
            name: None,
            version: 1,
        }
    }
}
