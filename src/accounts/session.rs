//! Sessions: browsers and programs that are signed in.

use chrono::TimeDelta;

use super::minted::{Minted, hash};
use super::{Grant, Principal};
use crate::Result;
use crate::clock::Timestamp;
use crate::config::control::Accounts;
use crate::id::{PersonId, SessionId};
use crate::store::{Session, Store, Tx};

/// What programs' words begin with, so that they are known from browsers' cookies, and from tokens.
const PROGRAM: &str = "stead_login_";

/// By what somebody is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// A browser, by its cookie.
    Browser,
    /// A program, by a token of its own.
    Program,
}

impl Means {
    /// By what a word signs in.
    pub fn of(word: &[u8]) -> Self {
        if word.starts_with(PROGRAM.as_bytes()) { Self::Program } else { Self::Browser }
    }
}

/// Records a session; its word is in the answer, and nowhere else.
pub(super) async fn begin(
    tx: &mut Tx,
    person: PersonId,
    means: Means,
    agent: Option<String>,
    settings: &Accounts,
) -> Result<(Session, Minted)> {
    let prefix = match means {
        Means::Browser => "",
        Means::Program => PROGRAM,
    };
    let (now, word) = (tx.now(), Minted::new(prefix)?);
    let session = Session {
        id: SessionId::new(),
        hash: word.hash.clone(),
        person_id: person,
        agent,
        created_at: now,
        used_at: now,
        expires_at: now + TimeDelta::days(settings.session_days.into()),
        ended_at: None,
    };
    tx.insert_session(&session, now - TimeDelta::days(1)).await?;
    Ok((session, word))
}

/// The moment since which a session must have been used, to be one.
pub fn idle_since(now: Timestamp, settings: &Accounts) -> Timestamp {
    now - TimeDelta::hours(settings.idle_hours.into())
}

/// Whose session this is; none where it is nobody's, was ended, was not used for long, or is its person's no more.
///
/// # Errors
/// Fails where the store does.
pub async fn find(store: &Store, word: &[u8], settings: &Accounts) -> Result<Option<Principal>> {
    let mut reader = store.read().await?;
    let Some(session) = reader.session_by_hash(&hash(word)).await? else { return Ok(None) };
    let now = store.clock().now();
    let is_over = session.ended_at.is_some() || session.expires_at <= now;
    if is_over || session.used_at <= idle_since(now, settings) {
        return Ok(None);
    }
    let person = reader.person(session.person_id).await?.filter(|person| person.disabled_at.is_none());
    let Some(person) = person else { return Ok(None) };
    let memberships = reader.memberships(person.id).await?;
    drop(reader);
    // To the minute, so that reading is not writing.
    if now - session.used_at > TimeDelta::minutes(1) {
        let id = session.id;
        store.write(move |tx| Box::pin(async move { tx.touch_session(id).await })).await?;
    }
    let platform = person.role.map(|role| Grant { role, workspace: None });
    let within = memberships.into_iter().map(|of| of.member);
    let within = within.map(|member| Grant { role: member.role, workspace: Some(member.workspace_id) });
    Ok(Some(Principal {
        actor: format!("person:{}", person.id),
        grants: platform.into_iter().chain(within).collect(),
        scopes: Vec::new(),
        expires_at: None,
        signed_in: Some(super::SignedInAs { person: person.id, session: session.id, means: Means::of(word) }),
    }))
}
