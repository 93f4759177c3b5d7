-- The recipient of the identity that a node has made and may have put in use; recorded before it is, as host keys are.
ALTER TABLE nodes ADD COLUMN recipient_pending text;

-- A rebuild makes a node beside the one that serves, and takes the other one away when that one serves no more. Programs that do
-- not know of it take any node that is not gone for the serving one: no rebuild is begun before all of them are newer.
ALTER TABLE nodes ADD COLUMN role text NOT NULL DEFAULT 'serving' CHECK (role IN ('serving', 'incoming', 'outgoing'));
DROP INDEX nodes_live;
CREATE UNIQUE INDEX nodes_live ON nodes (workspace_id, role) WHERE state <> 'gone';

-- When a value was lost with the node that held it; until it is given again.
ALTER TABLE secrets ADD COLUMN lost_at timestamptz;
