//! What the control plane keeps of workspaces' AI agents: never what they say or hear.

use crate::clock::Timestamp;
use crate::id::{AgentId, WorkspaceId};

/// One of a workspace's AI agents.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// The workspace that it is in.
    pub workspace_id: WorkspaceId,
    /// What it is called; one of that name per workspace.
    pub name: String,
    /// What it is: a word.
    pub kind: String,
    /// Whose model it asks: a word.
    pub model_provider: String,
    /// Whether it is to work.
    pub enabled: bool,
    /// When it was last seen.
    pub last_seen_at: Option<Timestamp>,
    /// How many conversations it has had.
    #[sqlx(try_from = "i64")]
    pub conversations: u64,
    /// How many messages it has had and given.
    #[sqlx(try_from = "i64")]
    pub messages: u64,
    /// Grows with every change that somebody makes, not with reports; set by the store.
    #[sqlx(try_from = "i64")]
    pub version: u64,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When somebody last changed it; set by the store.
    pub updated_at: Timestamp,
}

/// What a report says of something: when it was seen, and its counts since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen<I> {
    /// What was seen.
    pub id: I,
    /// When, to the millisecond.
    pub at: Timestamp,
    /// An agent's conversations and messages; a channel's messages in and out.
    pub counts: [u64; 2],
}
