//! Answers that were given, for those who ask the same again (the `Idempotency-Key` header field, an IETF draft).

use crate::clock::Timestamp;

/// An answer to a request that created something.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Answer {
    /// Who asked.
    pub principal: String,
    /// The key that they gave.
    pub key: String,
    /// The SHA-256 of method, path and body, in hexadecimal.
    pub request: String,
    /// The HTTP status.
    #[sqlx(try_from = "i64")]
    pub status: u16,
    /// The `Location` header.
    pub location: Option<String>,
    /// The body.
    #[sqlx(json)]
    pub answer: serde_json::Value,
    /// How long it is kept.
    pub expires_at: Timestamp,
}
