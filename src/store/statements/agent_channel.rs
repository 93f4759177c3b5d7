//! Statements for the channels through which people reach agents.

use crate::Result;
use crate::id::{AgentChannelId, AgentId, WorkspaceId};
use crate::store::{AgentChannel, Reader, Seen, Tx};

/// Which of a workspace's channels a page holds.
#[derive(Debug, Clone, Default)]
pub struct AgentChannelPage {
    /// Those behind this one.
    pub after: Option<AgentChannelId>,
    /// Those of this agent.
    pub agent: Option<AgentId>,
    /// Those of this kind.
    pub kind: Option<String>,
    /// Those that are to be open, or are not.
    pub enabled: Option<bool>,
    /// The most that the page holds.
    pub limit: u32,
}

impl Reader {
    /// A workspace's channel by its id.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn agent_channel(&mut self, workspace: WorkspaceId, id: AgentChannelId) -> Result<Option<AgentChannel>> {
        held!(
            self,
            "reading a channel",
            "SELECT * FROM agent_channels WHERE id = $1 AND workspace_id = $2",
            id,
            workspace
        )
    }

    /// At most `limit` of a workspace's channels, in the order of their making.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn agent_channels_page(
        &mut self,
        workspace: WorkspaceId,
        page: &AgentChannelPage,
    ) -> Result<Vec<AgentChannel>> {
        all!(
            self,
            "reading the channels",
            "SELECT * FROM agent_channels WHERE workspace_id = $1 AND ($2 IS NULL OR id > $2) \
             AND ($3 IS NULL OR agent_id = $3) AND ($4 IS NULL OR kind = $4) AND ($5 IS NULL OR enabled = $5) \
             ORDER BY id LIMIT $6",
            workspace,
            page.after,
            page.agent,
            page.kind.as_deref(),
            page.enabled,
            i64::from(page.limit),
        )
    }

    /// The ids of a workspace's channels.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn agent_channel_ids(&mut self, workspace: WorkspaceId) -> Result<Vec<AgentChannelId>> {
        let found: Vec<(AgentChannelId,)> =
            all!(self, "reading the channels", "SELECT id FROM agent_channels WHERE workspace_id = $1", workspace)?;
        Ok(found.into_iter().map(|(id,)| id).collect())
    }
}

impl Tx {
    /// Records a new channel.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn insert_agent_channel(&mut self, channel: &AgentChannel) -> Result<()> {
        execute!(
            self,
            "recording a channel",
            "INSERT INTO agent_channels (id, workspace_id, agent_id, kind, enabled, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            channel.id,
            channel.workspace_id,
            channel.agent_id,
            &channel.kind,
            channel.enabled,
            channel.created_at,
            channel.updated_at,
        )
        .map(drop)
    }

    /// Writes whether a channel is to be open; sets the time, and counts the version up.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn update_agent_channel(&mut self, channel: &AgentChannel) -> Result<()> {
        let now = self.now();
        execute!(
            self,
            "writing a channel",
            "UPDATE agent_channels SET enabled = $1, updated_at = $2, version = version + 1 WHERE id = $3",
            channel.enabled,
            now,
            channel.id,
        )
        .map(drop)
    }

    /// Writes what was seen of a workspace's channels, as [`see_agents`](Self::see_agents) does.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn see_agent_channels(&mut self, workspace: WorkspaceId, seen: &[Seen<AgentChannelId>]) -> Result<()> {
        let seen = self.seen(seen, |id| (id.uuid(), id.to_string()))?;
        execute!(
            self,
            "writing what was seen of channels",
            (
                "UPDATE agent_channels SET last_seen_at = max(coalesce(last_seen_at, s.at), s.at), \
                 messages_in = max(messages_in, s.one), messages_out = max(messages_out, s.two) \
                 FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS at, \
                 json_extract(value, '$[2]') AS one, json_extract(value, '$[3]') AS two FROM json_each($2)) AS s \
                 WHERE agent_channels.id = s.id AND agent_channels.workspace_id = $1 AND (last_seen_at IS NULL \
                 OR s.at > last_seen_at OR s.one > messages_in OR s.two > messages_out)",
                "UPDATE agent_channels SET last_seen_at = greatest(last_seen_at, s.at), \
                 messages_in = greatest(messages_in, s.one), messages_out = greatest(messages_out, s.two) \
                 FROM (SELECT (value->>0)::uuid AS id, (value->>1)::timestamptz AS at, (value->>2)::bigint AS one, \
                 (value->>3)::bigint AS two FROM jsonb_array_elements($2)) AS s \
                 WHERE agent_channels.id = s.id AND agent_channels.workspace_id = $1 AND (last_seen_at IS NULL \
                 OR s.at > last_seen_at OR s.one > messages_in OR s.two > messages_out)"
            ),
            workspace,
            seen,
        )
        .map(drop)
    }

    /// Forgets a channel.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn delete_agent_channel(&mut self, id: AgentChannelId) -> Result<()> {
        execute!(self, "forgetting a channel", "DELETE FROM agent_channels WHERE id = $1", id).map(drop)
    }
}
