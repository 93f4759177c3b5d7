-- People who sign in. The key is the address without case, by which they are found.
CREATE TABLE people (
    id           uuid PRIMARY KEY,
    email        text NOT NULL,
    email_key    text COLLATE "C" NOT NULL UNIQUE,
    name         text,
    role         text CHECK (role IN ('operator', 'support')),
    disabled_at  timestamptz,
    created_at   timestamptz NOT NULL,
    signed_in_at timestamptz,
    version      bigint NOT NULL DEFAULT 1
);

-- Links that were mailed. Only the hashes are here: of the link, and of the cookie of the browser that asked.
CREATE TABLE sign_ins (
    hash        text COLLATE "C" PRIMARY KEY,
    browser     text NOT NULL,
    email       text NOT NULL,
    email_key   text COLLATE "C" NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    consumed_at timestamptz
);

CREATE INDEX sign_ins_email ON sign_ins (email_key, created_at);
CREATE INDEX sign_ins_expiry ON sign_ins (expires_at);

-- Browsers that are signed in. Only the cookie's hash is here.
CREATE TABLE sessions (
    id         uuid PRIMARY KEY,
    hash       text COLLATE "C" NOT NULL UNIQUE,
    person_id  uuid NOT NULL REFERENCES people (id),
    agent      text,
    created_at timestamptz NOT NULL,
    used_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz
);

CREATE INDEX sessions_person ON sessions (person_id, id);

-- What people are to workspaces. A workspace has one owner at most.
CREATE TABLE members (
    workspace_id uuid NOT NULL REFERENCES workspaces (id),
    person_id    uuid NOT NULL REFERENCES people (id),
    role         text NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'billing')),
    since        timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, person_id)
);

CREATE INDEX members_person ON members (person_id, workspace_id);
CREATE UNIQUE INDEX members_owner ON members (workspace_id) WHERE role = 'owner';

-- What people are asked to become; who is asked to become the owner is offered the workspace.
CREATE TABLE invitations (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces (id),
    email        text NOT NULL,
    email_key    text COLLATE "C" NOT NULL,
    role         text NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'billing')),
    state        text NOT NULL CHECK (state IN ('open', 'accepted', 'declined', 'revoked')),
    invited_by   text NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL
);

CREATE INDEX invitations_email ON invitations (email_key, id);
CREATE UNIQUE INDEX invitations_open ON invitations (workspace_id, email_key) WHERE state = 'open';
