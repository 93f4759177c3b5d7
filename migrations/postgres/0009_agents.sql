-- A workspace's AI agents, as far as the control plane knows them: what they said and heard stays on the node. The counts and when
-- one was last seen come by reports and never go back; they are no change of the record, so its version stays.
CREATE TABLE agents (
    id             uuid PRIMARY KEY,
    workspace_id   uuid NOT NULL REFERENCES workspaces (id),
    name           text COLLATE "C" NOT NULL,
    kind           text NOT NULL,
    model_provider text NOT NULL,
    enabled        boolean NOT NULL,
    last_seen_at   timestamptz,
    conversations  bigint NOT NULL DEFAULT 0 CHECK (conversations >= 0),
    messages       bigint NOT NULL DEFAULT 0 CHECK (messages >= 0),
    version        bigint NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL
);

CREATE UNIQUE INDEX agents_name ON agents (workspace_id, name);

-- Through what people reach an agent. `channels` are those of images.
CREATE TABLE agent_channels (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces (id),
    agent_id     uuid NOT NULL REFERENCES agents (id),
    kind         text NOT NULL,
    enabled      boolean NOT NULL,
    last_seen_at timestamptz,
    messages_in  bigint NOT NULL DEFAULT 0 CHECK (messages_in >= 0),
    messages_out bigint NOT NULL DEFAULT 0 CHECK (messages_out >= 0),
    version      bigint NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL
);

CREATE INDEX agent_channels_workspace ON agent_channels (workspace_id, id);
CREATE INDEX agent_channels_agent ON agent_channels (agent_id);
