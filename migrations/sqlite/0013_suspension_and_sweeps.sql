-- Who has a workspace suspended, why, since when, and what it was before; there while it is, or is about to be. Programs that do not
-- know of it would start a suspended workspace's node: none is suspended before all of them are newer.
ALTER TABLE workspaces ADD COLUMN suspension TEXT CHECK (suspension IS NULL OR json_valid(suspension));

-- What the last sweep found on each host, with each kind of provider.
CREATE TABLE sweeps (
    host     TEXT NOT NULL,
    provider TEXT NOT NULL,
    swept_at TEXT NOT NULL,
    findings TEXT NOT NULL CHECK (json_valid(findings)),
    PRIMARY KEY (host, provider)
) STRICT;
