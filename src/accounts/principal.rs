//! Who acts.

use super::session::Means;
use crate::clock::Timestamp;
use crate::id::{PersonId, SessionId, WorkspaceId};
use crate::store::Role;
use crate::{Error, Result};

/// A role, and what it is a role in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The role.
    pub role: Role,
    /// The workspace; none for the platform.
    pub workspace: Option<WorkspaceId>,
}

/// A person, by the browser or program that they are signed in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedInAs {
    /// Who.
    pub person: PersonId,
    /// Where.
    pub session: SessionId,
    /// By what.
    pub means: Means,
}

/// Who acts, with what they were granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// For the audit log, and for whatever is kept by caller: `token:tk_…`, `person:pe_…`.
    pub actor: String,
    /// What they are.
    pub grants: Vec<Grant>,
    /// What of that they came to do; all of it where this is empty.
    pub scopes: Vec<String>,
    /// When that ends.
    pub expires_at: Option<Timestamp>,
    /// The person, where it is one.
    pub signed_in: Option<SignedInAs>,
}

impl Principal {
    /// The operator of this machine, who holds the file with the token that `serve` made.
    pub fn root() -> Self {
        let grants = vec![Grant { role: Role::Operator, workspace: None }];
        Self { actor: "token:root".into(), grants, scopes: Vec::new(), expires_at: None, signed_in: None }
    }

    /// Refuses to give roles to others by what is itself held to scopes, or ends: a role has neither.
    ///
    /// # Errors
    /// Fails where that is so.
    pub(super) fn may_give_roles(&self) -> Result<()> {
        if self.scopes.is_empty() && self.expires_at.is_none() {
            return Ok(());
        }
        Err(Error::conflict("a token that is held to scopes, or that ends, gives nobody a role")
            .hint("use one without either, or sign in"))
    }

    /// The person, where it is one.
    pub fn person(&self) -> Option<PersonId> {
        self.signed_in.map(|signed_in| signed_in.person)
    }
}
