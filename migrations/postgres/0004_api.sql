-- What people call it, and how often its record was changed, for those who change it.
ALTER TABLE workspaces ADD COLUMN name text;
ALTER TABLE workspaces ADD COLUMN version bigint NOT NULL DEFAULT 1;

-- Lists go page by page, in the order of making.
CREATE INDEX workspaces_state ON workspaces (state, id);
CREATE INDEX workflows_subject ON workflows (subject, id);

-- Tokens of operators and machines. Only the hash is here.
CREATE TABLE tokens (
    id           uuid PRIMARY KEY,
    hash         text NOT NULL UNIQUE,
    name         text NOT NULL,
    workspace_id uuid REFERENCES workspaces (id),
    role         text NOT NULL CHECK (role IN ('operator', 'support', 'owner', 'admin', 'member', 'billing')),
    scopes       jsonb NOT NULL,
    created_by   text NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);

-- Answers to requests that create, by the caller's key, so that the same request again gives the same answer.
CREATE TABLE idempotency (
    principal  text COLLATE "C" NOT NULL,
    key        text COLLATE "C" NOT NULL,
    request    text NOT NULL,
    status     bigint NOT NULL,
    location   text,
    answer     jsonb NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (principal, key)
);

CREATE INDEX idempotency_expiry ON idempotency (expires_at);
