//! People, and the browsers that they are signed in with.

use super::Role;
use crate::clock::Timestamp;
use crate::id::{PersonId, SessionId};

/// Somebody who signs in.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Person {
    /// Their id.
    pub id: PersonId,
    /// Their mail address, as they write it.
    pub email: String,
    /// The address by which they are found: without case.
    pub email_key: String,
    /// What they are called.
    pub name: Option<String>,
    /// What they are to the platform: operator or support, if anything.
    pub role: Option<Role>,
    /// Since when they may do nothing.
    pub disabled_at: Option<Timestamp>,
    /// When they first signed in.
    pub created_at: Timestamp,
    /// When they last signed in.
    pub signed_in_at: Option<Timestamp>,
    /// Grows with every change of the record; set by the store.
    #[sqlx(try_from = "i64")]
    pub version: u64,
}

/// A link that was mailed, without the link.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct SignIn {
    /// The SHA-256 of the link's token, in hexadecimal.
    pub hash: String,
    /// The SHA-256 of the cookie of the browser that asked, in hexadecimal.
    pub browser: String,
    /// Where it was mailed to.
    pub email: String,
    /// The address by which the person is found.
    pub email_key: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was used.
    pub consumed_at: Option<Timestamp>,
}

/// A program that wants to act for somebody, without what it holds.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Login {
    /// The SHA-256 of what the program holds, in hexadecimal.
    pub hash: String,
    /// What people type.
    pub code: String,
    /// What the program calls itself.
    pub agent: Option<String>,
    /// When it asked.
    pub created_at: Timestamp,
    /// When the code ends.
    pub expires_at: Timestamp,
    /// Who has decided.
    pub person_id: Option<PersonId>,
    /// What: whether the program may act for them.
    pub allowed: bool,
    /// When.
    pub decided_at: Option<Timestamp>,
    /// When the program came for its session.
    pub claimed_at: Option<Timestamp>,
}

/// A browser or a program that is signed in, without its word.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The SHA-256 of the cookie, or of a program's token, in hexadecimal.
    pub hash: String,
    /// Who is signed in.
    pub person_id: PersonId,
    /// What the browser or program calls itself.
    pub agent: Option<String>,
    /// When it was signed in.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub used_at: Timestamp,
    /// When it ends, used or not.
    pub expires_at: Timestamp,
    /// When it was ended.
    pub ended_at: Option<Timestamp>,
}
