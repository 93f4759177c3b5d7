-- People who sign in. The key is the address without case, by which they are found.
CREATE TABLE people (
    id           TEXT PRIMARY KEY NOT NULL,
    email        TEXT NOT NULL,
    email_key    TEXT NOT NULL UNIQUE,
    name         TEXT,
    role         TEXT CHECK (role IN ('operator', 'support')),
    disabled_at  TEXT,
    created_at   TEXT NOT NULL,
    signed_in_at TEXT,
    version      INTEGER NOT NULL DEFAULT 1
) STRICT;

-- Links that were mailed. Only the hashes are here: of the link, and of the cookie of the browser that asked.
CREATE TABLE sign_ins (
    hash        TEXT PRIMARY KEY NOT NULL,
    browser     TEXT NOT NULL,
    email       TEXT NOT NULL,
    email_key   TEXT NOT NULL,
    created_at  TEXT NOT NULL,
    expires_at  TEXT NOT NULL,
    consumed_at TEXT
) STRICT;

CREATE INDEX sign_ins_email ON sign_ins (email_key, created_at);
CREATE INDEX sign_ins_expiry ON sign_ins (expires_at);

-- Browsers that are signed in. Only the cookie's hash is here.
CREATE TABLE sessions (
    id         TEXT PRIMARY KEY NOT NULL,
    hash       TEXT NOT NULL UNIQUE,
    person_id  TEXT NOT NULL REFERENCES people (id),
    agent      TEXT,
    created_at TEXT NOT NULL,
    used_at    TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    ended_at   TEXT
) STRICT;

CREATE INDEX sessions_person ON sessions (person_id, id);

-- What people are to workspaces. A workspace has one owner at most.
CREATE TABLE members (
    workspace_id TEXT NOT NULL REFERENCES workspaces (id),
    person_id    TEXT NOT NULL REFERENCES people (id),
    role         TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'billing')),
    since        TEXT NOT NULL,
    PRIMARY KEY (workspace_id, person_id)
) STRICT;

CREATE INDEX members_person ON members (person_id, workspace_id);
CREATE UNIQUE INDEX members_owner ON members (workspace_id) WHERE role = 'owner';

-- What people are asked to become; who is asked to become the owner is offered the workspace.
CREATE TABLE invitations (
    id           TEXT PRIMARY KEY NOT NULL,
    workspace_id TEXT NOT NULL REFERENCES workspaces (id),
    email        TEXT NOT NULL,
    email_key    TEXT NOT NULL,
    role         TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'billing')),
    state        TEXT NOT NULL CHECK (state IN ('open', 'accepted', 'declined', 'revoked')),
    invited_by   TEXT NOT NULL,
    created_at   TEXT NOT NULL,
    expires_at   TEXT NOT NULL
) STRICT;

CREATE INDEX invitations_email ON invitations (email_key, id);
CREATE UNIQUE INDEX invitations_open ON invitations (workspace_id, email_key) WHERE state = 'open';
