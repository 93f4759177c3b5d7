-- Where a workflow may run: `needs` names what its worker must be able to do ('local': make nodes on its own host), `host` the
-- host whose worker it is for, once that is known. And when it is tried again.
ALTER TABLE workflows ADD COLUMN needs text;
ALTER TABLE workflows ADD COLUMN host text;
ALTER TABLE workflows ADD COLUMN run_after timestamptz;

CREATE INDEX workflows_runnable ON workflows (created_at) WHERE state IN ('queued', 'running', 'unwinding');

-- The host that a local node lies on.
ALTER TABLE nodes ADD COLUMN host text;

-- Programs that run workflows, by the process that they are; each says from time to time that it lives.
CREATE TABLE workers (
    process    text COLLATE "C" PRIMARY KEY,
    host       text NOT NULL,
    version    text NOT NULL,
    running    bigint NOT NULL CHECK (running >= 0),
    started_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL
);

-- What one program at a time does for all of them, by name.
CREATE TABLE leases (
    name   text COLLATE "C" PRIMARY KEY,
    holder text NOT NULL,
    until  timestamptz NOT NULL
);
