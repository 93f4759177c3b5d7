//! The channels through which people reach an agent: never what goes through them. `Channel` is an image's.

use crate::clock::Timestamp;
use crate::id::{AgentChannelId, AgentId, WorkspaceId};

/// A channel through which people reach an agent.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct AgentChannel {
    /// Its id.
    pub id: AgentChannelId,
    /// The workspace that it is in.
    pub workspace_id: WorkspaceId,
    /// The agent that is reached through it, in the same workspace.
    pub agent_id: AgentId,
    /// What it is: a word.
    pub kind: String,
    /// Whether it is to be open.
    pub enabled: bool,
    /// When something was last seen on it.
    pub last_seen_at: Option<Timestamp>,
    /// How many messages came in.
    #[sqlx(try_from = "i64")]
    pub messages_in: u64,
    /// How many messages went out.
    #[sqlx(try_from = "i64")]
    pub messages_out: u64,
    /// Grows with every change that somebody makes, not with reports; set by the store.
    #[sqlx(try_from = "i64")]
    pub version: u64,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When somebody last changed it; set by the store.
    pub updated_at: Timestamp,
}
