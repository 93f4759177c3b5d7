//! What the platform's operators decide about people.

use super::Principal;
use crate::audit::Entry;
use crate::id::PersonId;
use crate::store::{Person, Role, Tx};
use crate::{Error, Result};

/// What is to be another way; what is none stays.
#[derive(Debug, Clone, Default)]
pub struct PersonChange {
    /// Whether they may do nothing.
    pub disabled: Option<bool>,
    /// What they are to the platform: operator, support, or nothing.
    pub role: Option<Option<Role>>,
}

/// Changes a person, who was read in `tx`. Who is disabled is signed out everywhere, and the tokens that they made end.
///
/// # Errors
/// Fails where the role is none of the platform's, and where somebody would lock themselves out.
pub async fn change(
    tx: &mut Tx,
    person: Person,
    change: &PersonChange,
    by: &Principal,
    request: &str,
) -> Result<Person> {
    let id = person.id;
    by.may_give_roles()?;
    if by.person() == Some(id) {
        return Err(
            Error::conflict("nobody disables themselves, or changes their own role").hint("another operator can do it")
        );
    }
    let mut changed = person.clone();
    if let Some(role) = change.role {
        if !matches!(role, None | Some(Role::Operator | Role::Support)) {
            return Err(Error::input("a person is operator, support, or nothing to the platform"));
        }
        changed.role = role;
    }
    match change.disabled {
        Some(true) if person.disabled_at.is_none() => changed.disabled_at = Some(tx.now()),
        Some(false) => changed.disabled_at = None,
        _ => {}
    }
    if changed == person {
        return Ok(person);
    }
    tx.update_person(&changed).await?;
    let lost_rank = person.role == Some(Role::Operator) && changed.role != Some(Role::Operator);
    if changed.disabled_at.is_some() {
        tx.end_sessions(id).await?;
    }
    if changed.disabled_at.is_some() || lost_rank {
        let actor = format!("person:{id}");
        tx.revoke_tokens_by(&actor, None).await?;
        tx.revoke_invitations_by(&actor, None).await?;
    }
    let entry = Entry::new(&by.actor, "person.change", id.to_string()).request(request);
    let entry = entry.detail("disabled", changed.disabled_at.is_some());
    entry.detail("role", changed.role.map_or("none", Role::as_str)).append(tx).await?;
    reread(tx, id).await
}

/// Gives a person another name, at their own wish.
///
/// # Errors
/// Fails where the name is none.
pub async fn rename(tx: &mut Tx, mut person: Person, name: Option<String>, request: &str) -> Result<Person> {
    let id = person.id;
    if person.name == name {
        return Ok(person);
    }
    person.name = name;
    tx.update_person(&person).await?;
    let actor = format!("person:{id}");
    let entry = Entry::new(actor, "person.rename", id.to_string()).request(request);
    entry.append(tx).await?;
    reread(tx, id).await
}

async fn reread(tx: &mut Tx, id: PersonId) -> Result<Person> {
    tx.person(id).await?.ok_or_else(|| Error::failed("the person was just written"))
}
