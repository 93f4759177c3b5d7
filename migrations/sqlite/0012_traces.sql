-- The trace that a workflow is a part of, and where in it (W3C Trace Context), so that whoever runs it goes on with the trace.
ALTER TABLE workflows ADD COLUMN trace TEXT;
