-- Times are RFC 3339 text in UTC; JSON is text; ids are TypeIDs (src/id.rs). No column ever holds a secret's value.

CREATE TABLE settings (
    key   TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE revisions (
    id         TEXT PRIMARY KEY NOT NULL,
    number     INTEGER NOT NULL UNIQUE CHECK (number > 0),
    digest     TEXT NOT NULL,
    blob       TEXT NOT NULL,
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL
) STRICT;

CREATE TABLE workspaces (
    id          TEXT PRIMARY KEY NOT NULL,
    slug        TEXT NOT NULL,
    tier        TEXT NOT NULL,
    managed_by  TEXT NOT NULL CHECK (managed_by IN ('files', 'api')),
    state       TEXT NOT NULL CHECK (state IN ('pending', 'provisioning', 'ready', 'degraded', 'suspended', 'deprovisioning', 'gone')),
    revision_id TEXT REFERENCES revisions (id),
    created_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL
) STRICT;

-- A slug is free again once its workspace is gone; the record of the old one stays.
CREATE UNIQUE INDEX workspaces_slug ON workspaces (lower(slug)) WHERE state <> 'gone';

CREATE TABLE nodes (
    id                 TEXT PRIMARY KEY NOT NULL,
    workspace_id       TEXT NOT NULL REFERENCES workspaces (id),
    mark               TEXT NOT NULL UNIQUE,
    provider           TEXT NOT NULL,
    kind               TEXT NOT NULL,
    state              TEXT NOT NULL CHECK (state IN ('creating', 'booting', 'unverified', 'bootstrapping', 'ready', 'degraded', 'stopped', 'deprovisioning', 'gone')),
    addresses          TEXT NOT NULL CHECK (json_valid(addresses)),
    ssh_port           INTEGER NOT NULL CHECK (ssh_port BETWEEN 1 AND 65535),
    user               TEXT NOT NULL,
    bootstrap_host_key TEXT,
    host_key           TEXT,
    host_key_pending   TEXT,
    verified           INTEGER NOT NULL CHECK (verified IN (0, 1)),
    recipient          TEXT,
    image              TEXT,
    agent_version      TEXT,
    playbook_digest    TEXT,
    details            TEXT NOT NULL CHECK (json_valid(details)),
    fence              INTEGER NOT NULL CHECK (fence >= 0),
    created_at         TEXT NOT NULL,
    updated_at         TEXT NOT NULL
) STRICT;

-- One live node per workspace. A rebuild will bring the new node up beside the old one, and loosen this then.
CREATE UNIQUE INDEX nodes_live ON nodes (workspace_id) WHERE state <> 'gone';

CREATE TABLE images (
    key           TEXT PRIMARY KEY NOT NULL,
    name          TEXT NOT NULL,
    suite         TEXT NOT NULL,
    arch          TEXT NOT NULL,
    size          INTEGER NOT NULL CHECK (size >= 0),
    location      TEXT NOT NULL,
    built_at      TEXT NOT NULL,
    build_seconds INTEGER NOT NULL CHECK (build_seconds >= 0)
) STRICT;

CREATE INDEX images_name ON images (name, built_at);

CREATE TABLE secrets (
    id           TEXT PRIMARY KEY NOT NULL,
    workspace_id TEXT NOT NULL REFERENCES workspaces (id),
    name         TEXT NOT NULL,
    version      INTEGER NOT NULL CHECK (version > 0),
    fingerprint  TEXT NOT NULL,
    masked_tail  TEXT,
    salt         TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('vault', 'delivered')),
    node_id      TEXT REFERENCES nodes (id),
    delivered_at TEXT,
    created_at   TEXT NOT NULL,
    updated_at   TEXT NOT NULL,
    UNIQUE (workspace_id, name)
) STRICT;

CREATE TABLE envelopes (
    node_id    TEXT NOT NULL REFERENCES nodes (id),
    name       TEXT NOT NULL,
    version    INTEGER NOT NULL CHECK (version > 0),
    envelope   TEXT NOT NULL CHECK (json_valid(envelope)),
    expires_at TEXT NOT NULL,
    PRIMARY KEY (node_id, name, version)
) STRICT;

CREATE INDEX envelopes_expiry ON envelopes (expires_at);

CREATE TABLE workflows (
    id          TEXT PRIMARY KEY NOT NULL,
    kind        TEXT NOT NULL,
    subject     TEXT NOT NULL,
    params      TEXT NOT NULL CHECK (json_valid(params)),
    revision_id TEXT REFERENCES revisions (id),
    state       TEXT NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'unwinding', 'failed', 'parked')),
    fence       INTEGER NOT NULL CHECK (fence >= 0),
    holder      TEXT,
    lease_until TEXT,
    error       TEXT,
    created_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL,
    ended_at    TEXT
) STRICT;

-- A parked workflow still stands in the way of a new one: what it left behind wants a decision first.
CREATE UNIQUE INDEX workflows_live ON workflows (kind, subject) WHERE state NOT IN ('succeeded', 'failed');

CREATE TABLE workflow_steps (
    workflow_id TEXT NOT NULL REFERENCES workflows (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL CHECK (position >= 0),
    name        TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('pending', 'running', 'done', 'failed', 'undoing', 'undone')),
    attempt     INTEGER NOT NULL CHECK (attempt >= 0),
    output      TEXT CHECK (output IS NULL OR json_valid(output)),
    error       TEXT,
    started_at  TEXT,
    ended_at    TEXT,
    PRIMARY KEY (workflow_id, position)
) STRICT;

-- Entries are appended unsealed (seq and both hashes are null) in the transaction of the act, and chained by a sealer.
CREATE TABLE audit_entries (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    version    INTEGER NOT NULL,
    at         TEXT NOT NULL,
    actor      TEXT NOT NULL,
    action     TEXT NOT NULL,
    target     TEXT NOT NULL,
    outcome    TEXT NOT NULL,
    request_id TEXT,
    details    TEXT NOT NULL CHECK (json_valid(details)),
    personal   TEXT NOT NULL CHECK (json_valid(personal)),
    seq        INTEGER UNIQUE,
    prev_hash  TEXT,
    hash       TEXT,
    CHECK ((seq IS NULL) = (hash IS NULL) AND (seq IS NULL) = (prev_hash IS NULL))
) STRICT;

CREATE INDEX audit_unsealed ON audit_entries (position) WHERE seq IS NULL;
CREATE INDEX audit_target ON audit_entries (target, position);

-- Personal data and the salt of its commitment, apart from the chain: erasing a row here leaves the chain whole.
CREATE TABLE audit_personal (
    entry_id TEXT NOT NULL REFERENCES audit_entries (id),
    field    TEXT NOT NULL,
    subject  TEXT NOT NULL,
    salt     TEXT NOT NULL,
    value    TEXT NOT NULL,
    PRIMARY KEY (entry_id, field)
) STRICT;

CREATE INDEX audit_personal_subject ON audit_personal (subject);

-- The end of the chain, so that a chain that was cut short is noticed.
CREATE TABLE audit_head (
    one  INTEGER PRIMARY KEY NOT NULL CHECK (one = 1),
    seq  INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;
