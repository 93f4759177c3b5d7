//! Statements for agents.

use chrono::SecondsFormat;
use sqlx::types::Json;

use super::signed;
use crate::Result;
use crate::id::{AgentId, WorkspaceId};
use crate::store::{Agent, Reader, Seen, Tx};

/// Which of a workspace's agents a page holds.
#[derive(Debug, Clone, Default)]
pub struct AgentPage {
    /// Those behind this one.
    pub after: Option<AgentId>,
    /// Those of this kind.
    pub kind: Option<String>,
    /// Those that are to work, or are not.
    pub enabled: Option<bool>,
    /// The most that the page holds.
    pub limit: u32,
}

/// Id, time and counts, as a database has them.
pub(super) type SeenRow = (String, String, i64, i64);

impl Reader {
    /// A workspace's agent by its id.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn agent(&mut self, workspace: WorkspaceId, id: AgentId) -> Result<Option<Agent>> {
        held!(self, "reading an agent", "SELECT * FROM agents WHERE id = $1 AND workspace_id = $2", id, workspace)
    }

    /// A workspace's agent by its name.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn agent_by_name(&mut self, workspace: WorkspaceId, name: &str) -> Result<Option<Agent>> {
        held!(self, "reading an agent", "SELECT * FROM agents WHERE workspace_id = $1 AND name = $2", workspace, name)
    }

    /// At most `limit` of a workspace's agents, in the order of their making.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn agents_page(&mut self, workspace: WorkspaceId, page: &AgentPage) -> Result<Vec<Agent>> {
        all!(
            self,
            "reading the agents",
            "SELECT * FROM agents WHERE workspace_id = $1 AND ($2 IS NULL OR id > $2) AND ($3 IS NULL OR kind = $3) \
             AND ($4 IS NULL OR enabled = $4) ORDER BY id LIMIT $5",
            workspace,
            page.after,
            page.kind.as_deref(),
            page.enabled,
            i64::from(page.limit),
        )
    }

    /// The ids of a workspace's agents.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn agent_ids(&mut self, workspace: WorkspaceId) -> Result<Vec<AgentId>> {
        let found: Vec<(AgentId,)> =
            all!(self, "reading the agents", "SELECT id FROM agents WHERE workspace_id = $1", workspace)?;
        Ok(found.into_iter().map(|(id,)| id).collect())
    }

    /// What was seen, for a statement.
    pub(super) fn seen<I>(
        &self,
        seen: &[Seen<I>],
        id: impl Fn(&I) -> (uuid::Uuid, String),
    ) -> Result<Json<Vec<SeenRow>>> {
        let row = |seen: &Seen<I>| {
            let (uuid, text) = id(&seen.id);
            let id = if self.is_postgres() { uuid.to_string() } else { text };
            // As the driver writes a time into SQLite, where the later of two is that of the later text.
            let at = seen.at.to_rfc3339_opts(SecondsFormat::AutoSi, false);
            Ok((id, at, signed(seen.counts[0])?, signed(seen.counts[1])?))
        };
        Ok(Json(seen.iter().map(row).collect::<Result<_>>()?))
    }
}

impl Tx {
    /// Records a new agent; false where its workspace has one of this name.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn insert_agent(&mut self, agent: &Agent) -> Result<bool> {
        insert!(
            self,
            "recording an agent",
            "INSERT INTO agents (id, workspace_id, name, kind, model_provider, enabled, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            agent.id,
            agent.workspace_id,
            &agent.name,
            &agent.kind,
            &agent.model_provider,
            agent.enabled,
            agent.created_at,
            agent.updated_at,
        )
    }

    /// Writes an agent's name, model provider and whether it is to work; sets the time, and counts the version up.
    ///
    /// # Errors
    /// Fails where the database does, and where the workspace has another agent of this name.
    pub async fn update_agent(&mut self, agent: &Agent) -> Result<()> {
        let now = self.now();
        execute!(
            self,
            "writing an agent",
            "UPDATE agents SET name = $1, model_provider = $2, enabled = $3, updated_at = $4, version = version + 1 \
             WHERE id = $5",
            &agent.name,
            &agent.model_provider,
            agent.enabled,
            now,
            agent.id,
        )
        .map(drop)
    }

    /// Writes what was seen of a workspace's agents, by one statement whatever their number. Nothing goes back, and what says
    /// nothing new writes nothing.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn see_agents(&mut self, workspace: WorkspaceId, seen: &[Seen<AgentId>]) -> Result<()> {
        let seen = self.seen(seen, |id| (id.uuid(), id.to_string()))?;
        execute!(
            self,
            "writing what was seen of agents",
            (
                "UPDATE agents SET last_seen_at = max(coalesce(last_seen_at, s.at), s.at), \
                 conversations = max(conversations, s.one), messages = max(messages, s.two) \
                 FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS at, \
                 json_extract(value, '$[2]') AS one, json_extract(value, '$[3]') AS two FROM json_each($2)) AS s \
                 WHERE agents.id = s.id AND agents.workspace_id = $1 AND (last_seen_at IS NULL OR s.at > last_seen_at \
                 OR s.one > conversations OR s.two > messages)",
                "UPDATE agents SET last_seen_at = greatest(last_seen_at, s.at), \
                 conversations = greatest(conversations, s.one), messages = greatest(messages, s.two) \
                 FROM (SELECT (value->>0)::uuid AS id, (value->>1)::timestamptz AS at, (value->>2)::bigint AS one, \
                 (value->>3)::bigint AS two FROM jsonb_array_elements($2)) AS s \
                 WHERE agents.id = s.id AND agents.workspace_id = $1 AND (last_seen_at IS NULL OR s.at > last_seen_at \
                 OR s.one > conversations OR s.two > messages)"
            ),
            workspace,
            seen,
        )
        .map(drop)
    }

    /// Forgets an agent with its channels.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn delete_agent(&mut self, id: AgentId) -> Result<()> {
        execute!(self, "forgetting an agent's channels", "DELETE FROM agent_channels WHERE agent_id = $1", id)?;
        execute!(self, "forgetting an agent", "DELETE FROM agents WHERE id = $1", id).map(drop)
    }

    /// Forgets a workspace's agents with their channels.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn delete_agents_of(&mut self, workspace: WorkspaceId) -> Result<()> {
        execute!(self, "forgetting channels", "DELETE FROM agent_channels WHERE workspace_id = $1", workspace)?;
        execute!(self, "forgetting agents", "DELETE FROM agents WHERE workspace_id = $1", workspace).map(drop)
    }
}
