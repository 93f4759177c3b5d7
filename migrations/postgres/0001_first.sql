-- Ids are uuid (TypeIDs without their prefix, src/id.rs); those in columns of mixed kind are TypeIDs as text. Text that lists
-- are ordered by is compared byte by byte, as SQLite does, whatever the database's locale. No column ever holds a secret's
-- value.

CREATE TABLE settings (
    key   text PRIMARY KEY,
    value text NOT NULL
);

-- The fence: grows over the whole fleet, and is never taken back.
CREATE SEQUENCE fences AS bigint;

CREATE TABLE revisions (
    id         uuid PRIMARY KEY,
    number     bigint NOT NULL UNIQUE CHECK (number > 0),
    digest     text NOT NULL,
    blob       text NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL
);

CREATE TABLE workspaces (
    id          uuid PRIMARY KEY,
    slug        text COLLATE "C" NOT NULL,
    tier        text NOT NULL,
    managed_by  text NOT NULL CHECK (managed_by IN ('files', 'api')),
    state       text NOT NULL CHECK (state IN ('pending', 'provisioning', 'ready', 'degraded', 'suspended', 'deprovisioning', 'gone')),
    revision_id uuid REFERENCES revisions (id),
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);

-- A slug is free again once its workspace is gone; the record of the old one stays.
CREATE UNIQUE INDEX workspaces_slug ON workspaces (lower(slug)) WHERE state <> 'gone';

CREATE TABLE nodes (
    id                 uuid PRIMARY KEY,
    workspace_id       uuid NOT NULL REFERENCES workspaces (id),
    mark               text NOT NULL UNIQUE,
    provider           text NOT NULL,
    kind               text NOT NULL,
    state              text NOT NULL CHECK (state IN ('creating', 'booting', 'unverified', 'bootstrapping', 'ready', 'degraded', 'stopped', 'deprovisioning', 'gone')),
    addresses          jsonb NOT NULL,
    ssh_port           bigint NOT NULL CHECK (ssh_port BETWEEN 1 AND 65535),
    "user"             text NOT NULL,
    bootstrap_host_key text,
    host_key           text,
    host_key_pending   text,
    verified           boolean NOT NULL,
    recipient          text,
    image              text,
    agent_version      text,
    playbook_digest    text,
    details            jsonb NOT NULL,
    fence              bigint NOT NULL CHECK (fence >= 0),
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL
);

-- One live node per workspace.
CREATE UNIQUE INDEX nodes_live ON nodes (workspace_id) WHERE state <> 'gone';

CREATE TABLE images (
    key           text PRIMARY KEY,
    name          text COLLATE "C" NOT NULL,
    suite         text NOT NULL,
    arch          text NOT NULL,
    size          bigint NOT NULL CHECK (size >= 0),
    location      text NOT NULL,
    built_at      timestamptz NOT NULL,
    build_seconds bigint NOT NULL CHECK (build_seconds >= 0)
);

CREATE INDEX images_name ON images (name, built_at);

CREATE TABLE secrets (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces (id),
    name         text COLLATE "C" NOT NULL,
    version      bigint NOT NULL CHECK (version > 0),
    fingerprint  text NOT NULL,
    masked_tail  text,
    salt         text NOT NULL,
    state        text NOT NULL CHECK (state IN ('vault', 'delivered')),
    node_id      uuid REFERENCES nodes (id),
    delivered_at timestamptz,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    UNIQUE (workspace_id, name)
);

CREATE TABLE envelopes (
    node_id    uuid NOT NULL REFERENCES nodes (id),
    name       text COLLATE "C" NOT NULL,
    version    bigint NOT NULL CHECK (version > 0),
    envelope   jsonb NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (node_id, name, version)
);

CREATE INDEX envelopes_expiry ON envelopes (expires_at);

CREATE TABLE workflows (
    id          uuid PRIMARY KEY,
    kind        text NOT NULL,
    subject     text NOT NULL,
    params      jsonb NOT NULL,
    revision_id uuid REFERENCES revisions (id),
    state       text NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'unwinding', 'failed', 'parked')),
    fence       bigint NOT NULL CHECK (fence >= 0),
    holder      text,
    lease_until timestamptz,
    error       text,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    ended_at    timestamptz
);

-- A parked workflow still stands in the way of a new one: what it left behind wants a decision first.
CREATE UNIQUE INDEX workflows_live ON workflows (kind, subject) WHERE state NOT IN ('succeeded', 'failed');

CREATE TABLE workflow_steps (
    workflow_id uuid NOT NULL REFERENCES workflows (id) ON DELETE CASCADE,
    position    bigint NOT NULL CHECK (position >= 0),
    name        text NOT NULL,
    state       text NOT NULL CHECK (state IN ('pending', 'running', 'done', 'failed', 'undoing', 'undone')),
    attempt     bigint NOT NULL CHECK (attempt >= 0),
    output      jsonb,
    error       text,
    started_at  timestamptz,
    ended_at    timestamptz,
    PRIMARY KEY (workflow_id, position)
);

-- Entries are appended unsealed (seq and both hashes are null) in the transaction of the act, and chained by a sealer. What is
-- hashed is kept as it was written: `json`, not `jsonb`.
CREATE TABLE audit_entries (
    position   bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    id         uuid NOT NULL UNIQUE,
    version    bigint NOT NULL,
    at         timestamptz NOT NULL,
    actor      text NOT NULL,
    action     text NOT NULL,
    target     text NOT NULL,
    outcome    text NOT NULL,
    request_id text,
    details    json NOT NULL,
    personal   json NOT NULL,
    seq        bigint UNIQUE,
    prev_hash  text,
    hash       text,
    CHECK ((seq IS NULL) = (hash IS NULL) AND (seq IS NULL) = (prev_hash IS NULL))
);

CREATE INDEX audit_unsealed ON audit_entries (position) WHERE seq IS NULL;
CREATE INDEX audit_target ON audit_entries (target, position);

-- Personal data and the salt of its commitment, apart from the chain: erasing a row here leaves the chain whole.
CREATE TABLE audit_personal (
    entry_id uuid NOT NULL REFERENCES audit_entries (id),
    field    text COLLATE "C" NOT NULL,
    subject  text NOT NULL,
    salt     text NOT NULL,
    value    text NOT NULL,
    PRIMARY KEY (entry_id, field)
);

CREATE INDEX audit_personal_subject ON audit_personal (subject);

-- The end of the chain, so that a chain that was cut short is noticed.
CREATE TABLE audit_head (
    one  bigint PRIMARY KEY CHECK (one = 1),
    seq  bigint NOT NULL,
    hash text NOT NULL
);

-- Blobs lie in pieces beside the records, so that every machine has them that has the database.
CREATE TABLE blobs (
    key        text COLLATE "C" PRIMARY KEY,
    size       bigint NOT NULL CHECK (size >= 0),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE blob_pieces (
    key      text COLLATE "C" NOT NULL REFERENCES blobs (key) ON DELETE CASCADE,
    position bigint NOT NULL CHECK (position >= 0),
    bytes    bytea NOT NULL,
    PRIMARY KEY (key, position)
);

-- Most are compressed already.
ALTER TABLE blob_pieces ALTER COLUMN bytes SET STORAGE EXTERNAL;
