//! Tokens of operators and machines: shown once, kept as hashes.

use chrono::SubsecRound;
use hmac::digest::CtOutput;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::minted::{self, Minted};
use super::{Grant, Principal};
use crate::audit::Entry;
use crate::clock::Timestamp;
use crate::id::{TokenId, WorkspaceId};
use crate::store::{Role, Store, TokenRecord, Tx};
use crate::{Error, Result};

/// What tokens begin with, so that those who search for leaked secrets know one.
const PREFIX: &str = "stead_";
/// The longest name.
const NAME: usize = 100;

/// The SHA-256 of a token. A token is random and long, so a plain hash hides it.
#[derive(Clone)]
pub struct TokenHash(CtOutput<Sha256>);

impl TokenHash {
    /// The hash of a token.
    pub fn of(token: &[u8]) -> Self {
        Self(CtOutput::new(Sha256::digest(token)))
    }

    /// Whether this is the token; takes as long for a wrong one as for the right one.
    pub fn matches(&self, token: &[u8]) -> bool {
        self.0 == Self::of(token).0
    }
}

/// A token to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What people call it.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// In which workspace; none for the platform.
    pub workspace: Option<WorkspaceId>,
    /// What of that the token is for; all of it where this is empty.
    pub scopes: Vec<String>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

impl NewToken {
    /// # Errors
    /// Fails where the role is none of the platform's, or none of a workspace's; where a scope covers nothing; and where name
    /// or end make no sense.
    fn check(&self, now: Timestamp) -> Result<()> {
        let platform = matches!(self.role, Role::Operator | Role::Support);
        if platform == self.workspace.is_some() {
            let (role, wants) = (self.role, if platform { "no workspace" } else { "a workspace" });
            return Err(Error::input(format!("a token of the role {role} is for {wants}")).hint(
                "operator and support are roles of the platform; owner, admin, member and billing of a workspace",
            ));
        }
        if self.name.trim().is_empty() || self.name.len() > NAME || self.name.chars().any(char::is_control) {
            return Err(Error::input(format!("a token's name has 1 to {NAME} characters, all of them visible")));
        }
        for scope in &self.scopes {
            let known = super::policy::Permission::ALL;
            if !known.iter().any(|permission| super::policy::covers(scope, permission.name())) {
                let names: Vec<&str> = known.iter().map(|permission| permission.name()).collect();
                return Err(Error::input(format!("there is no scope {scope:?}"))
                    .hint(format!("there are: {}", names.join(", "))));
            }
        }
        match self.expires_at {
            Some(end) if end <= now => Err(Error::input("the token would have ended already")),
            _ => Ok(()),
        }
    }
}

impl NewToken {
    /// Nobody gives away what they do not have.
    fn check_against(&self, by: &Principal) -> Result<()> {
        let covered = |scopes: &[String], name: &str| {
            scopes.is_empty() || scopes.iter().any(|scope| super::policy::covers(scope, name))
        };
        let mut names = super::policy::Permission::ALL.iter().map(|permission| permission.name());
        if let Some(more) = names.find(|name| covered(&self.scopes, name) && !covered(&by.scopes, name)) {
            return Err(Error::input(format!("the token would be for {more}, which your own is not"))
                .hint(format!("give it scopes of yours: {}", by.scopes.join(", "))));
        }
        match by.expires_at {
            Some(end) if self.expires_at.is_none_or(|asked| asked > end) => Err(Error::input(format!(
                "the token would last longer than your own, which ends at {}",
                end.to_rfc3339()
            ))
            .hint("set `expires_at` to that, or to less")),
            _ => Ok(()),
        }
    }
}

/// Makes a token for `by`, in the transaction `tx`. The token itself is in the answer, and nowhere else.
///
/// # Errors
/// Fails where what is asked for makes no sense, and where it is more, or lasts longer, than what `by` has.
pub async fn issue(tx: &mut Tx, new: NewToken, by: &Principal) -> Result<(TokenRecord, Zeroizing<String>)> {
    let now = tx.now();
    // As the store keeps times, so that what is compared is what was shown.
    let new = NewToken { expires_at: new.expires_at.map(|end| end.trunc_subsecs(3)), ..new };
    new.check(now)?;
    new.check_against(by)?;
    check_still(tx, by, new.workspace).await?;
    let actor = by.actor.as_str();
    let Minted { word: token, hash } = Minted::new(PREFIX)?;
    let record = TokenRecord {
        id: TokenId::new(),
        hash,
        name: new.name,
        workspace_id: new.workspace,
        role: new.role,
        scopes: new.scopes,
        created_by: actor.to_owned(),
        created_at: now,
        expires_at: new.expires_at,
        last_used_at: None,
        revoked_at: None,
    };
    tx.insert_token(&record).await?;
    let target = new.workspace.map_or_else(|| record.id.to_string(), |id| id.to_string());
    let entry = Entry::new(actor, "token.create", target).detail("token", record.id.to_string());
    entry.detail("role", record.role.as_str()).append(tx).await?;
    Ok((record, token))
}

/// Whether `by` may still make tokens: they may have lost that while their request came in. Their record is held until the
/// transaction ends, so that nobody takes it from them in between and leaves this token behind.
async fn check_still(tx: &mut Tx, by: &Principal, workspace: Option<WorkspaceId>) -> Result<()> {
    let now = tx.now();
    let holds = match (by.person(), by.actor.strip_prefix("token:").and_then(|id| id.parse().ok())) {
        (Some(id), _) => {
            let person = tx.person(id).await?.filter(|person| person.disabled_at.is_none());
            let member = match workspace {
                Some(workspace) => tx.member(workspace, id).await?,
                None => None,
            };
            person.is_some_and(|person| {
                person.role == Some(Role::Operator) || member.is_some_and(|member| member.role == Role::Owner)
            })
        }
        (None, Some(id)) => tx
            .token(id)
            .await?
            .is_some_and(|token| token.revoked_at.is_none() && token.expires_at.is_none_or(|end| end > now)),
        (None, None) => *by == Principal::root(),
    };
    if holds { Ok(()) } else { Err(Error::conflict("who asks for this token has just lost the right to")) }
}

/// Whose token this is; none where it is nobody's, has ended or was revoked.
///
/// # Errors
/// Fails where the store does.
pub async fn find(store: &Store, token: &[u8]) -> Result<Option<Principal>> {
    // Anything else was not made by us.
    if !token.starts_with(PREFIX.as_bytes()) {
        return Ok(None);
    }
    let hash = minted::hash(token);
    let Some(record) = store.token_by_hash(&hash).await? else { return Ok(None) };
    let now = store.clock().now();
    if record.revoked_at.is_some() || record.expires_at.is_some_and(|end| end <= now) {
        return Ok(None);
    }
    // To the minute, so that reading is not writing.
    if record.last_used_at.is_none_or(|used| now - used > chrono::TimeDelta::minutes(1)) {
        let id = record.id;
        store.write(move |tx| Box::pin(async move { tx.touch_token(id).await })).await?;
    }
    let grants = vec![Grant { role: record.role, workspace: record.workspace_id }];
    Ok(Some(Principal {
        actor: format!("token:{}", record.id),
        grants,
        scopes: record.scopes,
        expires_at: record.expires_at,
        signed_in: None,
    }))
}
