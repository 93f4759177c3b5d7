//! People, sessions, members and invitations, as outsiders see them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::id::{InvitationId, PersonId, SessionId, WorkspaceId};
use crate::store::{Invitation, NamedMember, Person, Session};

/// Somebody who signs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersonView {
    /// Their id.
    #[schema(value_type = String, example = "pe_01jd8x1s3ve5fs9v2t5g7qk0mz")]
    pub id: PersonId,
    /// Their mail address.
    pub email: String,
    /// What they are called.
    pub name: Option<String>,
    /// What they are to the platform: `operator` or `support`, if anything.
    pub role: Option<String>,
    /// Whether they may do nothing.
    pub disabled: bool,
    /// When they first signed in.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When they last signed in.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub signed_in_at: Option<Timestamp>,
    /// Grows with every change; the `ETag` of the record.
    pub version: u64,
}

impl From<Person> for PersonView {
    fn from(person: Person) -> Self {
        Self {
            id: person.id,
            email: person.email,
            name: person.name,
            role: person.role.map(|role| role.to_string()),
            disabled: person.disabled_at.is_some(),
            created_at: person.created_at,
            signed_in_at: person.signed_in_at,
            version: person.version,
        }
    }
}

/// A browser or a program that is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// Its id.
    #[schema(value_type = String, example = "sn_01jd8x1s3ve5fs9v2t5g7qk0mz")]
    pub id: SessionId,
    /// What it calls itself.
    pub agent: Option<String>,
    /// Whether it is the one that asks.
    pub current: bool,
    /// When it was signed in.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    #[schema(value_type = String, format = DateTime)]
    pub used_at: Timestamp,
    /// When it ends, used or not.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

impl SessionView {
    pub(super) fn new(session: Session, current: SessionId) -> Self {
        Self {
            id: session.id,
            agent: session.agent,
            current: session.id == current,
            created_at: session.created_at,
            used_at: session.used_at,
            expires_at: session.expires_at,
        }
    }
}

/// What somebody is to a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberView {
    /// Who.
    #[schema(value_type = String, example = "pe_01jd8x1s3ve5fs9v2t5g7qk0mz")]
    pub person_id: PersonId,
    /// Their mail address.
    pub email: String,
    /// What they are called.
    pub name: Option<String>,
    /// `owner`, `admin`, `member` or `billing`.
    pub role: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

impl From<NamedMember> for MemberView {
    fn from(NamedMember { member, email, name }: NamedMember) -> Self {
        Self { person_id: member.person_id, email, name, role: member.role.to_string(), since: member.since }
    }
}

/// What somebody is asked to become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InvitationView {
    /// Its id.
    #[schema(value_type = String, example = "iv_01jd8x1s3ve5fs9v2t5g7qk0mz")]
    pub id: InvitationId,
    /// The workspace.
    #[schema(value_type = String)]
    pub workspace_id: WorkspaceId,
    /// The mail address of whoever is asked.
    pub email: String,
    /// What they would become; `owner` offers them the workspace.
    pub role: String,
    /// `open`, `accepted`, `declined` or `revoked`.
    pub state: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ends, if nobody answers.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

impl From<Invitation> for InvitationView {
    fn from(invitation: Invitation) -> Self {
        Self {
            id: invitation.id,
            workspace_id: invitation.workspace_id,
            email: invitation.email,
            role: invitation.role.to_string(),
            state: invitation.state.to_string(),
            created_at: invitation.created_at,
            expires_at: invitation.expires_at,
        }
    }
}
