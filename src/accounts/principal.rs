//! Who acts.

use crate::clock::Timestamp;
use crate::id::WorkspaceId;
use crate::store::Role;

/// A role, and what it is a role in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The role.
    pub role: Role,
    /// The workspace; none for the platform.
    pub workspace: Option<WorkspaceId>,
}

/// Who acts, with what they were granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// For the audit log, and for whatever is kept by caller: `token:tk_…`.
    pub actor: String,
    /// What they are.
    pub grants: Vec<Grant>,
    /// What of that they came to do; all of it where this is empty.
    pub scopes: Vec<String>,
    /// When that ends.
    pub expires_at: Option<Timestamp>,
}

impl Principal {
    /// The operator of this machine, who holds the file with the token that `serve` made.
    pub fn root() -> Self {
        let grants = vec![Grant { role: Role::Operator, workspace: None }];
        Self { actor: "token:root".into(), grants, scopes: Vec::new(), expires_at: None }
    }
}
