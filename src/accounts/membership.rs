//! What people are to workspaces: members, invitations, and who owns what.
//!
//! An invitation is to an address. Whoever signs in with that address has shown that it is theirs, so the mail carries no
//! secret, and may be answered in the browser as well as lost. To be asked to become the owner is to be offered the workspace:
//! who accepts owns it, and who owned it is an admin from then on.

use chrono::TimeDelta;

use super::{Email, Principal};
use crate::audit::Entry;
use crate::id::{InvitationId, PersonId, WorkspaceId};
use crate::store::{Invitation, InvitationState, Member, Person, Role, Tx};
use crate::{Error, Result};

/// How long an invitation waits for an answer.
const GOOD_FOR: TimeDelta = TimeDelta::days(7);
/// How many a workspace may send in [`WINDOW`], so that nobody mails the world in our name.
const MOST: i64 = 50;
const WINDOW: TimeDelta = TimeDelta::days(1);

/// Refuses roles that are none in a workspace.
fn check_role(role: Role) -> Result<()> {
    match role {
        Role::Owner | Role::Admin | Role::Member | Role::Billing => Ok(()),
        Role::Operator | Role::Support => Err(Error::input(format!("{role} is no role in a workspace"))
            .hint("there are owner, admin, member and billing")),
    }
}

/// Makes somebody the owner of a workspace that is made in the same transaction. Nobody owns more than `most`.
///
/// # Errors
/// Fails where they own as many already.
pub async fn found(tx: &mut Tx, workspace: WorkspaceId, person: PersonId, most: u32) -> Result<()> {
    may_own_one_more(tx, person, most).await?;
    let owner = Member { workspace_id: workspace, person_id: person, role: Role::Owner, since: tx.now() };
    match tx.put_member(&owner).await? {
        true => Ok(()),
        false => Err(Error::conflict("the workspace has an owner already")),
    }
}

async fn may_own_one_more(tx: &mut Tx, person: PersonId, most: u32) -> Result<()> {
    // Held, so that of two requests of one person the second counts what the first has made.
    tx.person(person).await?;
    let owned = tx.memberships(person).await?.iter().filter(|of| of.member.role == Role::Owner).count();
    if u32::try_from(owned).unwrap_or(u32::MAX) >= most {
        return Err(Error::conflict(format!("you own {owned} workspaces, and {most} are the most"))
            .hint("end one of them, or ask an operator"));
    }
    Ok(())
}

/// Invites somebody; who is invited already is invited anew. `by` is the entry's actor.
///
/// # Errors
/// Fails where they are a member already, where the role is none in a workspace, and where very many are invited.
pub async fn invite(
    tx: &mut Tx,
    workspace: WorkspaceId,
    email: &Email,
    role: Role,
    by: &Principal,
) -> Result<Invitation> {
    check_role(role)?;
    by.may_give_roles()?;
    if role == Role::Owner && !may_give_away(tx, workspace, &by.actor).await? {
        return Err(Error::conflict("a workspace is offered by its owner, or by an operator of the platform")
            .hint("a workspace's token cannot give the workspace away"));
    }
    let now = tx.now();
    if tx.invitations_since(workspace, now - WINDOW).await? >= MOST {
        return Err(Error::conflict(format!("{MOST} invitations were sent within a day")).hint("go on tomorrow"));
    }
    if let Some(person) = tx.person_by_email(email.key()).await?
        && let Some(member) = tx.member(workspace, person.id).await?
        && (role != Role::Owner || member.role == Role::Owner)
    {
        return Err(Error::conflict(format!("they are its {} already", member.role))
            .hint("a member's role is changed, not offered; only to become the owner a member is asked"));
    }
    let invitation = Invitation {
        id: InvitationId::new(),
        workspace_id: workspace,
        email: email.as_str().to_owned(),
        email_key: email.key().to_owned(),
        role,
        state: InvitationState::Open,
        invited_by: by.actor.clone(),
        created_at: now,
        expires_at: now + GOOD_FOR,
    };
    if !tx.insert_invitation(&invitation).await? {
        return Err(Error::conflict("somebody else invites them at this moment"));
    }
    Ok(invitation)
}

/// The open invitation with this id that is to this person's address.
async fn open(tx: &mut Tx, id: InvitationId, person: &Person) -> Result<Option<Invitation>> {
    let found = tx.invitation(id).await?.filter(|found| found.email_key == person.email_key);
    let now = tx.now();
    Ok(found.filter(|found| found.state == InvitationState::Open && found.expires_at > now))
}

/// Accepts an invitation; what the person is to the workspace then. None where there is no such invitation to them.
///
/// # Errors
/// Fails where whoever offered the workspace does not own it any more, and where the person owns `most` workspaces already.
pub async fn accept(
    tx: &mut Tx,
    id: InvitationId,
    person: &Person,
    most: u32,
    request: &str,
) -> Result<Option<Member>> {
    let Some(mut invitation) = open(tx, id, person).await? else { return Ok(None) };
    let workspace = invitation.workspace_id;
    let (since, role) = (tx.now(), invitation.role);
    let before = tx.member(workspace, person.id).await?;
    if before.is_some_and(|before| before.role == Role::Owner) {
        return Err(Error::conflict("you own this workspace").hint("offer it to somebody else first"));
    }
    if role == Role::Owner {
        may_own_one_more(tx, person.id, most).await?;
        step_down(tx, &invitation, request).await?;
    }
    let member = Member { workspace_id: workspace, person_id: person.id, role, since };
    if !tx.put_member(&member).await? {
        return Err(Error::conflict("the workspace has another owner by now"));
    }
    invitation.state = InvitationState::Accepted;
    if !tx.answer_invitation(&invitation).await? {
        return Ok(None);
    }
    let entry = Entry::new(format!("person:{}", person.id), "invitation.accept", workspace.to_string());
    entry.detail("role", role.as_str()).detail("invitation", id.to_string()).request(request).append(tx).await?;
    Ok(Some(Member { since: before.map_or(since, |before| before.since), ..member }))
}

/// Makes the owner who offered the workspace an admin.
async fn step_down(tx: &mut Tx, invitation: &Invitation, request: &str) -> Result<()> {
    let workspace = invitation.workspace_id;
    // Of two who accept, the second sees what the first has made of it.
    tx.workspace(workspace).await?;
    if !may_give_away(tx, workspace, &invitation.invited_by).await? {
        return Err(Error::conflict("whoever offered you this workspace cannot give it away any more"));
    }
    let Some(owner) = tx.members(workspace).await?.into_iter().find(|member| member.role == Role::Owner) else {
        return Ok(());
    };
    tx.put_member(&Member { role: Role::Admin, ..owner }).await?;
    // They may do what an owner may.
    tx.revoke_tokens_by(&format!("person:{}", owner.person_id), Some(workspace)).await?;
    let entry = Entry::new(&invitation.invited_by, "member.change", workspace.to_string());
    let entry = entry.detail("member", owner.person_id.to_string()).detail("role", Role::Admin.as_str());
    entry.request(request).append(tx).await
}

/// Whether an actor owns the workspace, or runs the platform, at this moment.
async fn may_give_away(tx: &mut Tx, workspace: WorkspaceId, actor: &str) -> Result<bool> {
    if actor == Principal::root().actor {
        return Ok(true);
    }
    if let Some(id) = actor.strip_prefix("token:").and_then(|id| id.parse().ok()) {
        let (now, token) = (tx.now(), tx.token(id).await?.filter(|token| token.revoked_at.is_none()));
        let lives = token.filter(|token| token.expires_at.is_none_or(|end| end > now));
        return Ok(lives.is_some_and(|token| token.role == Role::Operator));
    }
    let Some(id) = actor.strip_prefix("person:").and_then(|id| id.parse().ok()) else { return Ok(false) };
    let person = tx.person(id).await?.filter(|person| person.disabled_at.is_none());
    let Some(person) = person else { return Ok(false) };
    let owns = tx.member(workspace, id).await?.is_some_and(|member| member.role == Role::Owner);
    Ok(owns || person.role == Some(Role::Operator))
}

/// Declines an invitation; whether there was one to this person.
///
/// # Errors
/// Fails where the store does.
pub async fn decline(tx: &mut Tx, id: InvitationId, person: &Person, request: &str) -> Result<bool> {
    let Some(mut invitation) = open(tx, id, person).await? else { return Ok(false) };
    invitation.state = InvitationState::Declined;
    let declined = tx.answer_invitation(&invitation).await?;
    let entry = Entry::new(format!("person:{}", person.id), "invitation.decline", invitation.workspace_id.to_string());
    entry.detail("invitation", id.to_string()).request(request).append(tx).await?;
    Ok(declined)
}

/// Gives a member another role. None where they are none.
///
/// # Errors
/// Fails where they own the workspace, or would: that is offered, and accepted.
pub async fn change(
    tx: &mut Tx,
    workspace: WorkspaceId,
    person: PersonId,
    role: Role,
    by: &Principal,
) -> Result<Option<Member>> {
    check_role(role)?;
    by.may_give_roles()?;
    let Some(member) = tx.member(workspace, person).await? else { return Ok(None) };
    if member.role == Role::Owner || role == Role::Owner {
        return Err(Error::conflict("who owns a workspace is not changed like a member's role")
            .hint("invite the one who is to own it, with the role owner"));
    }
    // What they asked others to become, they may not be able to ask any more.
    tx.revoke_invitations_by(&format!("person:{person}"), Some(workspace)).await?;
    let changed = Member { role, ..member };
    tx.put_member(&changed).await?;
    Ok(Some(changed))
}

/// Takes somebody out of a workspace, with the tokens that they made for it; whether they were in it.
///
/// # Errors
/// Fails where they own it.
pub async fn remove(tx: &mut Tx, workspace: WorkspaceId, person: PersonId) -> Result<bool> {
    let Some(member) = tx.member(workspace, person).await? else { return Ok(false) };
    if member.role == Role::Owner {
        return Err(Error::conflict("the owner cannot leave").hint("offer the workspace to somebody else first"));
    }
    let actor = format!("person:{person}");
    tx.revoke_tokens_by(&actor, Some(workspace)).await?;
    tx.revoke_invitations_by(&actor, Some(workspace)).await?;
    tx.remove_member(workspace, person).await
}
