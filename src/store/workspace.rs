//! Workspaces: customers' tenancies.

use serde::{Deserialize, Serialize};

use super::text::words;
use crate::clock::Timestamp;
use crate::id::{RevisionId, WorkflowId, WorkspaceId};
use crate::store::NodeState;

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

words! {
    /// Who has a workspace suspended: whose word it is to resume it.
    Suspender {
        /// The platform's operators; nobody else resumes it.
        Operator = "operator",
        /// Who it belongs to.
        Customer = "customer",
    }
}

/// That a workspace is suspended, or is about to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// Who has it suspended.
    pub by: Suspender,
    /// Why, in words for the customer.
    pub reason: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// What it was before; none until its node is about to be stopped.
    pub before: Option<BeforeSuspension>,
}

/// What a workspace was before it was suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeforeSuspension {
    /// The workflow that has suspended it.
    pub workflow: WorkflowId,
    /// Where it stood.
    pub workspace: WorkspaceState,
    /// Where its node stood.
    pub node: NodeState,
}

/// A customer's tenancy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
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
    /// By whom it is suspended, and why; there as well while it is about to be, or is being resumed.
    #[sqlx(json(nullable))]
    pub suspension: Option<Suspension>,
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
            suspension: None,
        }
    }

    /// Writes down that it is to be suspended. Nobody but operators has another word than they had.
    pub fn suspend(&mut self, by: Suspender, reason: Option<String>, now: Timestamp) {
        match &mut self.suspension {
            Some(stands) if stands.by == Suspender::Operator && by == Suspender::Customer => {}
            Some(stands) => (stands.by, stands.reason) = (by, reason),
            None => self.suspension = Some(Suspension { by, reason, since: now, before: None }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};

    #[test]
    fn an_operators_word_goes_before_a_customers() {
        let now = SystemClock.now();
        let mut workspace = Workspace::new("acme", "starter", ManagedBy::Api, now);
        let mut said = |by, reason: &str| {
            workspace.suspend(by, Some(reason.to_owned()), now);
            let stands = workspace.suspension.clone().unwrap();
            (stands.by, stands.reason.unwrap())
        };
        assert_eq!(said(Suspender::Customer, "holidays"), (Suspender::Customer, "holidays".into()));
        assert_eq!(said(Suspender::Operator, "unpaid"), (Suspender::Operator, "unpaid".into()));
        assert_eq!(said(Suspender::Customer, "holidays"), (Suspender::Operator, "unpaid".into()));
        assert_eq!(said(Suspender::Operator, "abuse"), (Suspender::Operator, "abuse".into()));
    }
}
