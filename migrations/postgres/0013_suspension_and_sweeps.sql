-- Who has a workspace suspended, why, since when, and what it was before; there while it is, or is about to be. Programs that do not
-- know of it would start a suspended workspace's node: none is suspended before all of them are newer.
ALTER TABLE workspaces ADD COLUMN suspension jsonb;

-- What the last sweep found on each host, with each kind of provider.
CREATE TABLE sweeps (
    host     text COLLATE "C" NOT NULL,
    provider text COLLATE "C" NOT NULL,
    swept_at timestamptz NOT NULL,
    findings jsonb NOT NULL,
    PRIMARY KEY (host, provider)
);
