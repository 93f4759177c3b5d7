//! Tokens of operators and machines.

use serde::Serialize;

use super::text::words;
use crate::clock::Timestamp;
use crate::id::{TokenId, WorkspaceId};

words! {
    /// What somebody is to the platform, or to a workspace.
    Role {
        /// Runs the platform.
        Operator = "operator",
        /// Helps customers: reads, and sees no secrets.
        Support = "support",
        /// Owns a workspace.
        Owner = "owner",
        /// Runs a workspace.
        Admin = "admin",
        /// Uses a workspace.
        Member = "member",
        /// Pays for a workspace.
        Billing = "billing",
    }
}

/// A token, without the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct TokenRecord {
    /// Its id.
    pub id: TokenId,
    /// The SHA-256 of the token, in hexadecimal.
    #[serde(skip)]
    pub hash: String,
    /// What people call it.
    pub name: String,
    /// The workspace that it is for; none where it is for the platform.
    pub workspace_id: Option<WorkspaceId>,
    /// What its holder may do.
    pub role: Role,
    /// What of that the token is for; all of it where this is empty.
    #[sqlx(json)]
    pub scopes: Vec<String>,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}
