//! Statements for programs that want to act for somebody.

use crate::Result;
use crate::clock::Timestamp;
use crate::id::PersonId;
use crate::store::{Login, Reader, Tx};

impl Reader {
    /// The login with this code that nobody has decided on yet, and that has not ended.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn open_login(&mut self, code: &str) -> Result<Option<Login>> {
        let now = self.now();
        optional!(
            self,
            "reading a login",
            "SELECT * FROM logins WHERE code = $1 AND decided_at IS NULL AND expires_at > $2",
            code,
            now,
        )
    }

    /// The login of whoever holds what has this hash, whatever became of it.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn login(&mut self, hash: &str) -> Result<Option<Login>> {
        held!(self, "reading a login", "SELECT * FROM logins WHERE hash = $1", hash)
    }
}

impl Tx {
    /// Records a login, and forgets those that ended before `old`; false where the code is another's.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn insert_login(&mut self, login: &Login, old: Timestamp) -> Result<bool> {
        execute!(self, "dropping old logins", "DELETE FROM logins WHERE expires_at < $1", old)?;
        insert!(
            self,
            "recording a login",
            "INSERT INTO logins (hash, code, agent, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
            &login.hash,
            &login.code,
            &login.agent,
            login.created_at,
            login.expires_at,
        )
    }

    /// Writes down what somebody has decided on an open login; whether it was open.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn decide_login(&mut self, code: &str, person: PersonId, allowed: bool) -> Result<bool> {
        let now = self.now();
        execute!(
            self,
            "deciding a login",
            "UPDATE logins SET person_id = $1, allowed = $2, decided_at = $3 \
             WHERE code = $4 AND decided_at IS NULL AND expires_at > $3",
            person,
            allowed,
            now,
            code,
        )
        .map(|decided| decided == 1)
    }

    /// Uses an allowed login up; false where it was used.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn claim_login(&mut self, hash: &str) -> Result<bool> {
        let now = self.now();
        execute!(
            self,
            "using a login up",
            "UPDATE logins SET claimed_at = $1 WHERE hash = $2 AND allowed AND claimed_at IS NULL AND expires_at > $1",
            now,
            hash,
        )
        .map(|claimed| claimed == 1)
    }
}
