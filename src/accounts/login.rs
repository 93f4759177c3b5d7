//! Signing a program in, after the device authorization grant (RFC 8628): the program shows a code, somebody who is signed in
//! types it into a browser and says yes, and the program gets a session of theirs. It needs no browser of its own, and never
//! sees a mail or a cookie.

use chrono::TimeDelta;

use super::minted::{Minted, hash};
use super::session::{self, Means};
use super::sign_in::SignedIn;
use crate::audit::Entry;
use crate::config::control::Accounts;
use crate::id::PersonId;
use crate::store::{Login, Tx};
use crate::{Error, Result};

/// How long a code is good for.
pub const GOOD_FOR: TimeDelta = TimeDelta::minutes(10);
/// What codes consist of: no vowels, so that none is a word, and nothing that looks like something else (RFC 8628, section 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// 20^8 codes, of which a few are open for minutes: whoever tries as fast as the limits let them finds none.
const LENGTH: usize = 8;

/// What a program that asks gets.
pub struct Asked {
    /// What it holds, and shows when it comes for its session.
    pub device: Minted,
    /// The record, with the code for people.
    pub login: Login,
}

/// Records that a program, which calls itself `agent`, wants to act for somebody.
///
/// # Errors
/// Fails where the store does.
pub async fn ask(tx: &mut Tx, agent: Option<String>) -> Result<Asked> {
    let (now, device) = (tx.now(), Minted::new("")?);
    let login = Login {
        hash: device.hash.clone(),
        code: code()?,
        agent,
        created_at: now,
        expires_at: now + GOOD_FOR,
        person_id: None,
        allowed: false,
        decided_at: None,
        claimed_at: None,
    };
    if !tx.insert_login(&login, now - TimeDelta::days(1)).await? {
        return Err(Error::conflict("the code is another program's at this moment").hint("ask again"));
    }
    Ok(Asked { device, login })
}

/// A code as it is kept, from what somebody typed: without regard to case, and to what stands between its halves.
pub fn typed(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '-' | ' ')).map(|c| c.to_ascii_uppercase()).collect()
}

/// A code as people read it: `BCDF-GHJK`.
pub fn shown(code: &str) -> String {
    match code.split_at_checked(LENGTH / 2) {
        Some((first, second)) => format!("{first}-{second}"),
        None => code.to_owned(),
    }
}

/// Decides whether the program with this code may act for `person`. False where no program waits with it any more.
///
/// # Errors
/// Fails where the store does.
pub async fn decide(tx: &mut Tx, code: &str, person: PersonId, allow: bool, request: &str) -> Result<bool> {
    let decided = tx.decide_login(code, person, allow).await?;
    if decided {
        let action = if allow { "login.allow" } else { "login.deny" };
        // Not what the program calls itself: people's machines bear their names.
        Entry::new(format!("person:{person}"), action, person.to_string()).request(request).append(tx).await?;
    }
    Ok(decided)
}

/// What became of a login.
pub enum Claimed {
    /// Nobody has decided yet.
    Waiting,
    /// Somebody said no.
    Denied,
    /// There is none, or it has ended, or was used.
    Over,
    /// Somebody said yes; the session's word is the program's token.
    SignedIn(Box<SignedIn>),
}

/// Gives the program that holds `device` its session, once.
///
/// # Errors
/// Fails where the store does.
pub async fn claim(tx: &mut Tx, device: &str, settings: &Accounts, request: &str) -> Result<Claimed> {
    let now = tx.now();
    let found = tx.login(&hash(device.as_bytes())).await?;
    let Some(login) = found.filter(|login| login.expires_at > now && login.claimed_at.is_none()) else {
        return Ok(Claimed::Over);
    };
    let Some(person) = login.person_id else { return Ok(Claimed::Waiting) };
    if !login.allowed {
        return Ok(Claimed::Denied);
    }
    let person = tx.person(person).await?.filter(|person| person.disabled_at.is_none());
    let Some(person) = person else { return Ok(Claimed::Denied) };
    if !tx.claim_login(&login.hash).await? {
        return Ok(Claimed::Over);
    }
    let (session, word) = session::begin(tx, person.id, Means::Program, login.agent, settings).await?;
    let entry = Entry::new(format!("person:{}", person.id), "session.begin", person.id.to_string());
    entry.detail("session", session.id.to_string()).request(request).append(tx).await?;
    Ok(Claimed::SignedIn(Box::new(SignedIn { person, session, word })))
}

fn code() -> Result<String> {
    let mut code = String::with_capacity(LENGTH);
    // Those above 240, of 256, would make the first letters likelier than the rest.
    while code.len() < LENGTH {
        let mut bytes = [0; LENGTH];
        getrandom::fill(&mut bytes).map_err(|error| Error::failed(format!("taking randomness: {error}")))?;
        let fair = bytes.into_iter().filter(|byte| *byte < 240);
        code.extend(fair.take(LENGTH - code.len()).map(|byte| char::from(LETTERS[usize::from(byte % 20)])));
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_however_it_is_typed() {
        let code = code().unwrap();
        assert_eq!((code.len(), code.bytes().all(|letter| LETTERS.contains(&letter))), (LENGTH, true), "{code}");
        assert_eq!(typed(&shown(&code)), code);
        assert_eq!(typed(&shown(&code).to_lowercase().replace('-', " ")), code);
        assert_eq!(typed("b-c-d"), "BCD");
    }
}
