-- What people call it, and how often its record was changed, for those who change it.
ALTER TABLE workspaces ADD COLUMN name TEXT;
ALTER TABLE workspaces ADD COLUMN version INTEGER NOT NULL DEFAULT 1;

-- Lists go page by page, in the order of making.
CREATE INDEX workspaces_state ON workspaces (state, id);
CREATE INDEX workflows_subject ON workflows (subject, id);

-- Tokens of operators and machines. Only the hash is here.
CREATE TABLE tokens (
    id           TEXT PRIMARY KEY NOT NULL,
    hash         TEXT NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    workspace_id TEXT REFERENCES workspaces (id),
    role         TEXT NOT NULL CHECK (role IN ('operator', 'support', 'owner', 'admin', 'member', 'billing')),
    scopes       TEXT NOT NULL CHECK (json_valid(scopes)),
    created_by   TEXT NOT NULL,
    created_at   TEXT NOT NULL,
    expires_at   TEXT,
    last_used_at TEXT,
    revoked_at   TEXT
) STRICT;

-- Answers to requests that create, by the caller's key, so that the same request again gives the same answer.
CREATE TABLE idempotency (
    principal  TEXT NOT NULL,
    key        TEXT NOT NULL,
    request    TEXT NOT NULL,
    status     INTEGER NOT NULL,
    location   TEXT,
    answer     TEXT NOT NULL CHECK (json_valid(answer)),
    expires_at TEXT NOT NULL,
    PRIMARY KEY (principal, key)
) STRICT;

CREATE INDEX idempotency_expiry ON idempotency (expires_at);
