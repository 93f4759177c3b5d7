//! Sessions: browsers that are signed in.

use chrono::TimeDelta;

use super::minted::{Minted, hash};
use super::{Grant, Principal};
use crate::Result;
use crate::clock::Timestamp;
use crate::config::control::Accounts;
use crate::id::{PersonId, SessionId};
use crate::store::{Session, Store, Tx};

/// Records a session; its cookie is in the answer, and nowhere else.
pub(super) async fn begin(
    tx: &mut Tx,
    person: PersonId,
    agent: Option<String>,
    settings: &Accounts,
) -> Result<(Session, Minted)> {
    let (now, cookie) = (tx.now(), Minted::new("")?);
    let session = Session {
        id: SessionId::new(),
        hash: cookie.hash.clone(),
        person_id: person,
        agent,
        created_at: now,
        used_at: now,
        expires_at: now + TimeDelta::days(settings.session_days.into()),
        ended_at: None,
    };
    tx.insert_session(&session, now - TimeDelta::days(1)).await?;
    Ok((session, cookie))
}

/// The moment since which a session must have been used, to be one.
pub fn idle_since(now: Timestamp, settings: &Accounts) -> Timestamp {
    now - TimeDelta::hours(settings.idle_hours.into())
}

/// Whose session this is; none where it is nobody's, was ended, was not used for long, or is its person's no more.
///
/// # Errors
/// Fails where the store does.
pub async fn find(store: &Store, cookie: &[u8], settings: &Accounts) -> Result<Option<Principal>> {
    let mut reader = store.read().await?;
    let Some(session) = reader.session_by_hash(&hash(cookie)).await? else { return Ok(None) };
    let now = store.clock().now();
    let is_over = session.ended_at.is_some() || session.expires_at <= now;
    if is_over || session.used_at <= idle_since(now, settings) {
        return Ok(None);
    }
    let person = reader.person(session.person_id).await?.filter(|person| person.disabled_at.is_none());
    let Some(person) = person else { return Ok(None) };
    let members = reader.memberships(person.id).await?;
    drop(reader);
    // To the minute, so that reading is not writing.
    if now - session.used_at > TimeDelta::minutes(1) {
        let id = session.id;
        store.write(move |tx| Box::pin(async move { tx.touch_session(id).await })).await?;
    }
    let platform = person.role.map(|role| Grant { role, workspace: None });
    let within = members.into_iter().map(|member| Grant { role: member.role, workspace: Some(member.workspace_id) });
    Ok(Some(Principal {
        actor: format!("person:{}", person.id),
        grants: platform.into_iter().chain(within).collect(),
        scopes: Vec::new(),
        expires_at: None,
        signed_in: Some(super::SignedInAs { person: person.id, session: session.id }),
    }))
}
