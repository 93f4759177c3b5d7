//! Agents and their channels, as outsiders see them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::id::{AgentChannelId, AgentId, WorkspaceId};
use crate::store::{Agent, AgentChannel};

/// One of a workspace's AI agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentView {
    /// Its id.
    #[schema(value_type = String, example = "ag_01jd8x1s3ve5fs9v2t5g7qk0mz")]
    pub id: AgentId,
    /// The workspace that it is in.
    #[schema(value_type = String)]
    pub workspace_id: WorkspaceId,
    /// What it is called.
    #[schema(example = "front-desk")]
    pub name: String,
    /// What it is, in a word.
    #[schema(example = "assistant")]
    pub kind: String,
    /// Whose model it asks, in a word.
    #[schema(example = "anthropic")]
    pub model_provider: String,
    /// Whether it is to work.
    pub enabled: bool,
    /// When it was last seen.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen_at: Option<Timestamp>,
    /// How many conversations it has had since it was made.
    pub conversations: u64,
    /// How many messages it has had and given since it was made.
    pub messages: u64,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When somebody last changed it; reports are no change.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Grows with every change that somebody makes; the `ETag` of the record. Reports are no change.
    pub version: u64,
}

impl From<Agent> for AgentView {
    fn from(agent: Agent) -> Self {
        Self {
            id: agent.id,
            workspace_id: agent.workspace_id,
            name: agent.name,
            kind: agent.kind,
            model_provider: agent.model_provider,
            enabled: agent.enabled,
            last_seen_at: agent.last_seen_at,
            conversations: agent.conversations,
            messages: agent.messages,
            created_at: agent.created_at,
            updated_at: agent.updated_at,
            version: agent.version,
        }
    }
}

/// A channel through which people reach an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentChannelView {
    /// Its id.
    #[schema(value_type = String, example = "ch_01jd8x1s3ve5fs9v2t5g7qk0mz")]
    pub id: AgentChannelId,
    /// The workspace that it is in.
    #[schema(value_type = String)]
    pub workspace_id: WorkspaceId,
    /// The agent that is reached through it.
    #[schema(value_type = String, example = "ag_01jd8x1s3ve5fs9v2t5g7qk0mz")]
    pub agent_id: AgentId,
    /// What it is, in a word.
    #[schema(example = "telegram")]
    pub kind: String,
    /// Whether it is to be open.
    pub enabled: bool,
    /// When something was last seen on it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen_at: Option<Timestamp>,
    /// How many messages came in since it was made.
    pub messages_in: u64,
    /// How many messages went out since it was made.
    pub messages_out: u64,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When somebody last changed it; reports are no change.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Grows with every change that somebody makes; the `ETag` of the record. Reports are no change.
    pub version: u64,
}

impl From<AgentChannel> for AgentChannelView {
    fn from(channel: AgentChannel) -> Self {
        Self {
            id: channel.id,
            workspace_id: channel.workspace_id,
            agent_id: channel.agent_id,
            kind: channel.kind,
            enabled: channel.enabled,
            last_seen_at: channel.last_seen_at,
            messages_in: channel.messages_in,
            messages_out: channel.messages_out,
            created_at: channel.created_at,
            updated_at: channel.updated_at,
            version: channel.version,
        }
    }
}
