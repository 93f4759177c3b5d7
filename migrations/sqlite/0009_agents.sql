-- A workspace's AI agents, as far as the control plane knows them: what they said and heard stays on the node. The counts and when
-- one was last seen come by reports and never go back; they are no change of the record, so its version stays.
CREATE TABLE agents (
    id             TEXT PRIMARY KEY NOT NULL,
    workspace_id   TEXT NOT NULL REFERENCES workspaces (id),
    name           TEXT NOT NULL,
    kind           TEXT NOT NULL,
    model_provider TEXT NOT NULL,
    enabled        INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    last_seen_at   TEXT,
    conversations  INTEGER NOT NULL DEFAULT 0 CHECK (conversations >= 0),
    messages       INTEGER NOT NULL DEFAULT 0 CHECK (messages >= 0),
    version        INTEGER NOT NULL DEFAULT 1,
    created_at     TEXT NOT NULL,
    updated_at     TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX agents_name ON agents (workspace_id, name);

-- Through what people reach an agent. `channels` are those of images.
CREATE TABLE agent_channels (
    id           TEXT PRIMARY KEY NOT NULL,
    workspace_id TEXT NOT NULL REFERENCES workspaces (id),
    agent_id     TEXT NOT NULL REFERENCES agents (id),
    kind         TEXT NOT NULL,
    enabled      INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    last_seen_at TEXT,
    messages_in  INTEGER NOT NULL DEFAULT 0 CHECK (messages_in >= 0),
    messages_out INTEGER NOT NULL DEFAULT 0 CHECK (messages_out >= 0),
    version      INTEGER NOT NULL DEFAULT 1,
    created_at   TEXT NOT NULL,
    updated_at   TEXT NOT NULL
) STRICT;

CREATE INDEX agent_channels_workspace ON agent_channels (workspace_id, id);
CREATE INDEX agent_channels_agent ON agent_channels (agent_id);
