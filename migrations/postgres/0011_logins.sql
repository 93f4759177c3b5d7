-- Programs that wait for somebody who is signed in to say that they may act for them (after RFC 8628). Only the hash of what the
-- program holds is here; the code is what people type, and good for minutes.
CREATE TABLE logins (
    hash       text COLLATE "C" PRIMARY KEY,
    code       text COLLATE "C" NOT NULL UNIQUE,
    agent      text,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    person_id  uuid REFERENCES people (id),
    allowed    boolean NOT NULL DEFAULT false,
    decided_at timestamptz,
    claimed_at timestamptz
);

CREATE INDEX logins_expiry ON logins (expires_at);
