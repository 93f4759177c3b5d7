//! Statements for answers that were given.

use sqlx::types::Json;

use crate::Result;
use crate::store::{Answer, Reader, Tx};

impl Reader {
    /// The answer that was given to this caller's request with this key, unless its time is over.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn answer(&mut self, principal: &str, key: &str) -> Result<Option<Answer>> {
        let now = self.now();
        optional!(
            self,
            "looking for an answer that was given",
            "SELECT * FROM idempotency WHERE principal = $1 AND key = $2 AND expires_at > $3",
            principal,
            key,
            now,
        )
    }
}

impl Tx {
    /// Keeps an answer in the transaction of the act; false where another request with this key was first.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn keep_answer(&mut self, answer: &Answer) -> Result<bool> {
        let now = self.now();
        execute!(self, "dropping old answers", "DELETE FROM idempotency WHERE expires_at <= $1", now)?;
        insert!(
            self,
            "keeping an answer",
            "INSERT INTO idempotency (principal, key, request, status, location, answer, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            &answer.principal,
            &answer.key,
            &answer.request,
            i64::from(answer.status),
            &answer.location,
            Json(&answer.answer),
            answer.expires_at,
        )
    }
}
