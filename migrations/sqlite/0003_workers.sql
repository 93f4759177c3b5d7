-- Where a workflow may run: `needs` names what its worker must be able to do ('local': make nodes on its own host), `host` the
-- host whose worker it is for, once that is known. And when it is tried again.
ALTER TABLE workflows ADD COLUMN needs TEXT;
ALTER TABLE workflows ADD COLUMN host TEXT;
ALTER TABLE workflows ADD COLUMN run_after TEXT;

CREATE INDEX workflows_runnable ON workflows (created_at) WHERE state IN ('queued', 'running', 'unwinding');

-- The host that a local node lies on.
ALTER TABLE nodes ADD COLUMN host TEXT;

-- Programs that run workflows, by the process that they are; each says from time to time that it lives.
CREATE TABLE workers (
    process    TEXT PRIMARY KEY NOT NULL,
    host       TEXT NOT NULL,
    version    TEXT NOT NULL,
    running    INTEGER NOT NULL CHECK (running >= 0),
    started_at TEXT NOT NULL,
    seen_at    TEXT NOT NULL
) STRICT;

-- What one program at a time does for all of them, by name.
CREATE TABLE leases (
    name   TEXT PRIMARY KEY NOT NULL,
    holder TEXT NOT NULL,
    until  TEXT NOT NULL
) STRICT;
