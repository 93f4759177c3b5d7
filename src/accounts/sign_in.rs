//! Signing in by a mailed link.
//!
//! Whoever names an address gets a cookie, and the address a link, whether it is known or not: an address that signs in for
//! the first time becomes a person. The link is used up by a request of its own, so that a mail scanner that follows it does
//! nothing, and only with the cookie of the browser that asked: who reads the mail on the way, or is sent somebody else's
//! link, gets nowhere.

use chrono::TimeDelta;

use super::Email;
use super::minted::{Minted, hash};
use super::session::{self, Means};
use crate::audit::Entry;
use crate::clock::Timestamp;
use crate::config::control::Accounts;
use crate::id::PersonId;
use crate::store::{Person, Session, SignIn, Tx};
use crate::{Error, Result};

/// How long a link is good for.
const GOOD_FOR: TimeDelta = TimeDelta::minutes(10);
/// How many links one address gets in [`WINDOW`].
const MOST: i64 = 20;
/// In which time one address gets so many links and no more.
pub const WINDOW: TimeDelta = TimeDelta::minutes(15);

/// What somebody who asks for a link gets.
pub struct Asked {
    /// For the browser's cookie.
    pub browser: Minted,
    /// For the mail; none where none is to be sent.
    pub link: Option<Minted>,
}

/// Records that a link to `email` was asked for; none where it was mailed to too often of late. The work is the same for every
/// address, known or not.
///
/// # Errors
/// Fails where the store does.
pub async fn ask(tx: &mut Tx, email: &Email, settings: &Accounts) -> Result<Option<Asked>> {
    let now = tx.now();
    tx.take_turn_of(email.key()).await?;
    if tx.sign_ins_since(email.key(), now - WINDOW).await? >= MOST {
        return Ok(None);
    }
    let (browser, link) = (Minted::new("")?, Minted::new("")?);
    let record = SignIn {
        hash: link.hash.clone(),
        browser: browser.hash.clone(),
        email: email.as_str().to_owned(),
        email_key: email.key().to_owned(),
        created_at: now,
        expires_at: now + GOOD_FOR,
        consumed_at: None,
    };
    tx.insert_sign_in(&record, now - TimeDelta::days(1)).await?;
    let may = may_sign_in(tx, email.key(), settings).await?;
    Ok(Some(Asked { browser, link: may.then_some(link) }))
}

/// Whether an address is somebody's who may sign in, or may become somebody's.
async fn may_sign_in(tx: &mut Tx, email_key: &str, settings: &Accounts) -> Result<bool> {
    let (person, invited) = (tx.person_by_email(email_key).await?, tx.invitations_to(email_key).await?);
    Ok(match person {
        Some(person) => person.disabled_at.is_none(),
        None => settings.sign_up || !invited.is_empty(),
    })
}

/// Who has signed in, and how.
pub struct SignedIn {
    /// Who.
    pub person: Person,
    /// Where.
    pub session: Session,
    /// What shows that one has it: a browser's cookie, a program's token.
    pub word: Minted,
}

/// Uses a link up, from the browser that holds `browser`. `agent` is what the browser calls itself, `request` the request's
/// id. None where the link is wrong, was used, has ended, or was asked for in another browser: nobody is told which.
///
/// # Errors
/// Fails where the store does.
pub async fn confirm(
    tx: &mut Tx,
    link: &str,
    browser: &str,
    agent: Option<String>,
    settings: &Accounts,
    request: &str,
) -> Result<Option<SignedIn>> {
    let now = tx.now();
    let found = tx.sign_in(&hash(link.as_bytes())).await?;
    let Some(found) = found.filter(|found| found.browser == hash(browser.as_bytes())) else { return Ok(None) };
    tx.take_turn_of(&found.email_key).await?;
    if !tx.consume_sign_in(&found).await? || !may_sign_in(tx, &found.email_key, settings).await? {
        return Ok(None);
    }
    let person = match tx.person_by_email(&found.email_key).await? {
        Some(person) => Person { signed_in_at: Some(now), ..person },
        None => sign_up(tx, &found, now, request).await?,
    };
    tx.update_person(&person).await?;
    let person = tx.person(person.id).await?.ok_or_else(|| Error::failed("the person was just written"))?;
    let (session, word) = session::begin(tx, person.id, Means::Browser, agent, settings).await?;
    let entry = Entry::new(format!("person:{}", person.id), "session.begin", person.id.to_string());
    entry.detail("session", session.id.to_string()).request(request).append(tx).await?;
    Ok(Some(SignedIn { person, session, word }))
}

async fn sign_up(tx: &mut Tx, link: &SignIn, now: Timestamp, request: &str) -> Result<Person> {
    let person = Person {
        id: PersonId::new(),
        email: link.email.clone(),
        email_key: link.email_key.clone(),
        name: None,
        role: None,
        disabled_at: None,
        created_at: now,
        signed_in_at: Some(now),
        version: 1,
    };
    if !tx.insert_person(&person).await? {
        return Err(Error::conflict("the address became somebody's at this moment").hint("ask for a new link"));
    }
    let id = person.id.to_string();
    let entry = Entry::new(format!("person:{id}"), "person.create", &id).personal("email", &id, &person.email);
    entry.request(request).append(tx).await?;
    Ok(person)
}
