//! What people are to workspaces, and what they are asked to become.

use super::Role;
use super::text::words;
use crate::clock::Timestamp;
use crate::id::{InvitationId, PersonId, WorkspaceId};

/// What somebody is to a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Member {
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// Who.
    pub person_id: PersonId,
    /// What they are.
    pub role: Role,
    /// Since when.
    pub since: Timestamp,
}

/// A member, with who they are.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct NamedMember {
    /// What they are to the workspace.
    #[sqlx(flatten)]
    pub member: Member,
    /// Their mail address.
    pub email: String,
    /// What they are called.
    pub name: Option<String>,
}

/// What somebody is to a workspace, with which that is.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Membership {
    /// What they are to it.
    #[sqlx(flatten)]
    pub member: Member,
    /// The workspace's slug.
    pub slug: String,
}

words! {
    /// What became of an invitation.
    InvitationState {
        /// Nothing yet.
        Open = "open",
        /// It was accepted.
        Accepted = "accepted",
        /// Who was invited does not want to.
        Declined = "declined",
        /// It was taken back.
        Revoked = "revoked",
    }
}

/// What somebody is asked to become; who is asked to become the owner is offered the workspace.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// Where it was mailed to.
    pub email: String,
    /// The address by which the person is found.
    pub email_key: String,
    /// What they would become.
    pub role: Role,
    /// What became of it.
    pub state: InvitationState,
    /// Who asks: an actor.
    pub invited_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it ends, if nobody answers.
    pub expires_at: Timestamp,
}
