-- Programs that wait for somebody who is signed in to say that they may act for them (after RFC 8628). Only the hash of what the
-- program holds is here; the code is what people type, and good for minutes.
CREATE TABLE logins (
    hash       TEXT PRIMARY KEY NOT NULL,
    code       TEXT NOT NULL UNIQUE,
    agent      TEXT,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    person_id  TEXT REFERENCES people (id),
    allowed    INTEGER NOT NULL DEFAULT 0 CHECK (allowed IN (0, 1)),
    decided_at TEXT,
    claimed_at TEXT
) STRICT;

CREATE INDEX logins_expiry ON logins (expires_at);
