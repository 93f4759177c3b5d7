-- Whether something else about the same subject waits or runs is asked of every workflow that a worker is about to take.
CREATE INDEX workflows_waiting ON workflows (subject, id) WHERE state IN ('queued', 'running', 'unwinding');

-- Tokens end with whoever made them, and so do those that were made with them.
CREATE INDEX tokens_created_by ON tokens (created_by);
