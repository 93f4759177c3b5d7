//! Statements for sessions.

use crate::Result;
use crate::clock::Timestamp;
use crate::id::{PersonId, SessionId};
use crate::store::{Reader, Session, Tx};

impl Reader {
    /// The session with this hash, ended or not.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn session_by_hash(&mut self, hash: &str) -> Result<Option<Session>> {
        optional!(self, "reading a session", "SELECT * FROM sessions WHERE hash = $1", hash)
    }

    /// A person's sessions that have not ended, in the order of their making. `idle` is the moment since which one must have
    /// been used.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn sessions(&mut self, person: PersonId, idle: Timestamp) -> Result<Vec<Session>> {
        let now = self.now();
        all!(
            self,
            "reading the sessions",
            "SELECT * FROM sessions WHERE person_id = $1 AND ended_at IS NULL AND expires_at > $2 AND used_at > $3 ORDER BY id",
            person,
            now,
            idle,
        )
    }
}

impl Tx {
    /// Records a session, and forgets those of the same person that ended before `old`.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn insert_session(&mut self, session: &Session, old: Timestamp) -> Result<()> {
        execute!(
            self,
            "dropping old sessions",
            "DELETE FROM sessions WHERE person_id = $1 AND (expires_at < $2 OR ended_at < $2)",
            session.person_id,
            old,
        )?;
        execute!(
            self,
            "recording a session",
            "INSERT INTO sessions (id, hash, person_id, agent, created_at, used_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            session.id,
            &session.hash,
            session.person_id,
            &session.agent,
            session.created_at,
            session.used_at,
            session.expires_at,
        )
        .map(drop)
    }

    /// Writes down that a session was used.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn touch_session(&mut self, id: SessionId) -> Result<()> {
        let now = self.now();
        execute!(self, "writing a session", "UPDATE sessions SET used_at = $1 WHERE id = $2", now, id).map(drop)
    }

    /// Ends one of a person's sessions; whether there was one that had not ended.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn end_session(&mut self, person: PersonId, id: SessionId) -> Result<bool> {
        let now = self.now();
        execute!(
            self,
            "ending a session",
            "UPDATE sessions SET ended_at = $1 WHERE id = $2 AND person_id = $3 AND ended_at IS NULL",
            now,
            id,
            person,
        )
        .map(|ended| ended == 1)
    }

    /// Ends all of a person's sessions; how many had not ended.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn end_sessions(&mut self, person: PersonId) -> Result<u64> {
        let now = self.now();
        execute!(
            self,
            "ending sessions",
            "UPDATE sessions SET ended_at = $1 WHERE person_id = $2 AND ended_at IS NULL",
            now,
            person,
        )
    }
}
