//! Statements for people.

use crate::clock::Timestamp;
use crate::id::PersonId;
use crate::store::{Person, Reader, SignIn, Tx};
use crate::{Error, Result};

/// Which people a page holds.
#[derive(Debug, Clone, Default)]
pub struct PersonPage {
    /// Those behind this one.
    pub after: Option<PersonId>,
    /// The one with this address, without regard to case.
    pub email_key: Option<String>,
    /// The most that the page holds.
    pub limit: u32,
}

impl Reader {
    /// A person by their id.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn person(&mut self, id: PersonId) -> Result<Option<Person>> {
        held!(self, "reading a person", "SELECT * FROM people WHERE id = $1", id)
    }

    /// A person by their address.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn person_by_email(&mut self, email_key: &str) -> Result<Option<Person>> {
        held!(self, "reading a person", "SELECT * FROM people WHERE email_key = $1", email_key)
    }

    /// At most `limit` people, in the order of their coming.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn people_page(&mut self, page: &PersonPage) -> Result<Vec<Person>> {
        all!(
            self,
            "reading the people",
            "SELECT * FROM people WHERE ($1 IS NULL OR id > $1) AND ($2 IS NULL OR email_key = $2) ORDER BY id LIMIT $3",
            page.after,
            page.email_key.as_deref(),
            i64::from(page.limit),
        )
    }

    /// The link with this hash, used or not.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn sign_in(&mut self, hash: &str) -> Result<Option<SignIn>> {
        optional!(self, "reading a sign-in", "SELECT * FROM sign_ins WHERE hash = $1", hash)
    }

    /// How many links were mailed to an address since a moment.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn sign_ins_since(&mut self, email_key: &str, since: Timestamp) -> Result<i64> {
        one!(
            self,
            "counting sign-ins",
            "SELECT count(*) FROM sign_ins WHERE email_key = $1 AND created_at > $2",
            email_key,
            since
        )
    }
}

impl Tx {
    /// Records somebody who signs in for the first time; false where the address is somebody's.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn insert_person(&mut self, person: &Person) -> Result<bool> {
        insert!(
            self,
            "recording a person",
            "INSERT INTO people (id, email, email_key, name, role, disabled_at, created_at, signed_in_at, version) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1)",
            person.id,
            &person.email,
            &person.email_key,
            &person.name,
            person.role,
            person.disabled_at,
            person.created_at,
            person.signed_in_at,
        )
    }

    /// Writes a person's name, role and times, and counts the version up.
    ///
    /// # Errors
    /// Fails where there is no such person.
    pub async fn update_person(&mut self, person: &Person) -> Result<()> {
        let updated = execute!(
            self,
            "writing a person",
            "UPDATE people SET name = $1, role = $2, disabled_at = $3, signed_in_at = $4, version = version + 1 WHERE id = $5",
            &person.name,
            person.role,
            person.disabled_at,
            person.signed_in_at,
            person.id,
        )?;
        match updated {
            1 => Ok(()),
            _ => Err(Error::failed(format!("there is no person {}", person.id))),
        }
    }

    /// Records a link, and forgets those that ended before `old`.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn insert_sign_in(&mut self, link: &SignIn, old: Timestamp) -> Result<()> {
        execute!(self, "dropping old sign-ins", "DELETE FROM sign_ins WHERE expires_at < $1", old)?;
        execute!(
            self,
            "recording a sign-in",
            "INSERT INTO sign_ins (hash, browser, email, email_key, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
            &link.hash,
            &link.browser,
            &link.email,
            &link.email_key,
            link.created_at,
            link.expires_at,
        )
        .map(drop)
    }

    /// Uses a link up: it, and whatever else was mailed to the same address; whether it was there to be used.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn consume_sign_in(&mut self, link: &SignIn) -> Result<bool> {
        let now = self.now();
        let consumed = execute!(
            self,
            "using a sign-in",
            "UPDATE sign_ins SET consumed_at = $1 WHERE hash = $2 AND consumed_at IS NULL AND expires_at > $1",
            now,
            &link.hash,
        )?;
        execute!(
            self,
            "using a sign-in",
            "UPDATE sign_ins SET consumed_at = $1 WHERE email_key = $2 AND consumed_at IS NULL",
            now,
            &link.email_key,
        )?;
        Ok(consumed == 1)
    }
}
