-- Every converge that is asked for through the API is work of its own, and so is every look at what one would change.
DROP INDEX workflows_live;
CREATE UNIQUE INDEX workflows_live ON workflows (kind, subject)
    WHERE state NOT IN ('succeeded', 'failed') AND kind NOT IN ('deliver-secret', 'remove-secret', 'converge', 'check');

-- What kind of error a workflow ended with, so that commands end alike wherever it was run.
ALTER TABLE workflows ADD COLUMN error_kind TEXT;
