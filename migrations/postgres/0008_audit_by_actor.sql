-- What somebody did is asked for page by page, as what was done to something is.
CREATE INDEX audit_actor ON audit_entries (actor, position);
