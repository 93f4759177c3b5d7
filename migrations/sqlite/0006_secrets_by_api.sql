-- Every value that is given for a secret, and every secret that is removed, is work of its own: several of a workspace may wait.
DROP INDEX workflows_live;
CREATE UNIQUE INDEX workflows_live ON workflows (kind, subject)
    WHERE state NOT IN ('succeeded', 'failed') AND kind NOT IN ('deliver-secret', 'remove-secret');
