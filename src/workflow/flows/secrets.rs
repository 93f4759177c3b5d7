//! Step `secrets`: what the workspace declares, sealed for its node and delivered.

use std::time::Duration;

use async_trait::async_trait;

use super::declared::Declared;
use super::{Params, Platform, awaited, node};
use crate::audit::Entry;
use crate::redact::Secret;
use crate::secrets::seal::{Destination, seal};
use crate::ssh::NodeSession;
use crate::ssh::session::out_of_turn;
use crate::store::{EnvelopeRecord, Node, NodeRole, SecretRecord, SecretState, Tx};
use crate::wire::envelope::Envelope;
use crate::wire::message::{Reply, Request};
use crate::workflow::{Step, StepCx, StepError};
use crate::{Error, Result};

/// How long the node may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long signed ciphertext waits for a node that does not acknowledge it, in seconds.
pub const TIME_TO_LIVE: i64 = 3600;

/// How often a delivery is begun anew because a newer value was set meanwhile.
const ROUNDS: usize = 8;

/// The step.
pub(super) struct Secrets {
    /// Whether the node is being made: then the machine goes with its secrets when a later step fails. On a node that was
    /// there before, what was delivered stays.
    pub(super) on_new_node: bool,
    /// What that node is to the workspace.
    pub(super) role: NodeRole,
}

#[async_trait]
impl Step<Platform> for Secrets {
    fn name(&self) -> &'static str {
        "secrets"
    }

    fn timeout(&self) -> Duration {
        // Values may have to be waited for, one after the other.
        10 * awaited::PATIENCE
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let params: Params = cx.params()?;
        let platform = cx.context();
        if params.tier.is_some() {
            // Those of a workspace that came through the API are brought by workflows of their own.
            return Ok(serde_json::json!({"delivered": []}));
        }
        let declared = Declared::of(cx, &params).await?.workspace;
        let node = node::of(cx, self.role).await?;
        let mut delivered = Vec::new();
        for name in &declared.secrets {
            let record = cx.store().read().await?.secret(params.workspace, name).await?;
            if is_held(record.as_ref(), &node) {
                continue;
            }
            if platform.vault.is_some() {
                cx.progress(format!("delivering {name}"));
                let mut session = platform.session(&node, cx.fence(), PATIENCE).await?;
                deliver(cx, &params, &node, name, &mut session).await?;
                platform.keep(node.id, cx.fence(), session);
            } else {
                awaited::bring(cx, &params, &node, name).await?;
            }
            delivered.push(name.clone());
        }
        Ok(serde_json::json!({"delivered": delivered}))
    }

    async fn undo(&self, cx: &StepCx<'_, Platform>) -> Result<(), StepError> {
        if !self.on_new_node {
            return Ok(());
        }
        let params: Params = cx.params()?;
        let Some(node) = node::find(cx, self.role).await? else { return Ok(()) };
        take_back(cx, &params, &node).await
    }
}

/// Step `secrets` of a rebuild: where the old node's are lost, those that lie in the operator's vault as well are delivered from
/// there; else the old node has handed over what it had.
pub(super) struct Lost;

const FROM_VAULT: Secrets = Secrets { on_new_node: true, role: NodeRole::Incoming };

#[async_trait]
impl Step<Platform> for Lost {
    fn name(&self) -> &'static str {
        FROM_VAULT.name()
    }

    fn timeout(&self) -> Duration {
        FROM_VAULT.timeout()
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        match cx.params::<Params>()?.lose_data {
            true => FROM_VAULT.run(cx).await,
            false => Ok(serde_json::json!({"delivered": []})),
        }
    }

    async fn undo(&self, cx: &StepCx<'_, Platform>) -> Result<(), StepError> {
        FROM_VAULT.undo(cx).await
    }
}

/// The value that waits in the operator's vault.
fn value(platform: &Platform, slug: &str, name: &str) -> Result<Secret> {
    let vault = platform.vault.as_ref().ok_or_else(|| {
        Error::failed(format!(
            "the value of {name} lies in the operator's vault, which an unattended worker cannot open"
        ))
        .hint(format!("run `stead up {slug}` with an operator's key"))
    })?;
    vault.get(slug, name)?.ok_or_else(|| {
        Error::failed(format!("workspace {slug:?} declares the secret {name}, and nobody has given its value"))
            .hint(format!("give it on stdin: `stead secret set {slug} {name}`"))
    })
}

/// Whether the node holds the value that was set last.
pub(super) fn is_held(record: Option<&SecretRecord>, node: &Node) -> bool {
    record.is_some_and(|record| record.state == SecretState::Delivered && record.node_id == Some(node.id))
}

/// Delivers the value that was set last, also where that happens meanwhile: `secret set` waits for nobody. Whoever sets
/// values without end does not hold the node up: it goes on with the last one it got, and the newest waits in the vault.
async fn deliver(
    cx: &StepCx<'_, Platform>,
    params: &Params,
    node: &Node,
    name: &str,
    session: &mut NodeSession,
) -> Result<()> {
    let mut sent: Option<Secret> = None;
    for _ in 0..ROUNDS {
        let mut record = cx.store().read().await?.secret(params.workspace, name).await?;
        // After the record: a value comes before the record of it, so this is never older than what is recorded.
        let value = value(cx.context(), &params.slug, name)?;
        if is_held(record.as_ref(), node) {
            match &sent {
                Some(sent) if sent.expose() == value.expose() => return Ok(()),
                // Set after it was read and before there was a record of it that `secret set` could have raised.
                _ => record.iter_mut().for_each(|record| record.version += 1),
            }
        }
        send(cx, params, node, record, name, &value, session).await?;
        sent = Some(value);
    }
    if !is_held(cx.store().read().await?.secret(params.workspace, name).await?.as_ref(), node) {
        cx.progress(format!("{name} was set anew meanwhile; the next `stead up {}` delivers that", params.slug));
    }
    Ok(())
}

/// Seals one value, records the ciphertext, sends it, and forgets the ciphertext when the node has it.
async fn send(
    cx: &StepCx<'_, Platform>,
    params: &Params,
    node: &Node,
    record: Option<SecretRecord>,
    name: &str,
    value: &Secret,
    session: &mut NodeSession,
) -> Result<()> {
    let platform = cx.context();
    let recipient = node
        .recipient
        .as_deref()
        .ok_or_else(|| Error::failed("the node has no age identity yet; no secret can be sent to it"))?;
    let version = record.as_ref().map_or(1, |record| record.version);
    let destination =
        Destination { fleet: &platform.fleet_id, workspace: params.workspace, node: node.id, recipient, name, version };
    let sealed = seal(value, &destination, &platform.keys)?;
    let now = cx.store().clock().now();
    let secret = sealed.record(&destination, record, now);
    let envelope = sealed.envelope;
    let waiting = EnvelopeRecord {
        node_id: node.id,
        name: name.to_owned(),
        version,
        envelope: envelope.clone(),
        expires_at: now + chrono::TimeDelta::seconds(TIME_TO_LIVE),
    };
    let row = secret.clone();
    cx.store()
        .write(move |tx| {
            Box::pin(async move {
                put_sent(tx, row, false).await?;
                tx.put_envelope(&waiting).await
            })
        })
        .await?;
    hand_over(cx, params, node, secret, envelope, session).await
}

/// Sends sealed ciphertext, and forgets it when the node has it. `secret` is the record of what is in it.
pub(super) async fn hand_over(
    cx: &StepCx<'_, Platform>,
    params: &Params,
    node: &Node,
    mut secret: SecretRecord,
    envelope: Envelope,
    session: &mut NodeSession,
) -> Result<()> {
    let (name, version, holder) = (secret.name.clone(), secret.version, node.id);
    let by_api = params.tier.is_some() || cx.context().vault.is_none();
    let reply = session.request(Request::SecretPut { envelope: Box::new(envelope) }, &mut |_| {}).await?;
    let Reply::SecretStored { fingerprint: stored, .. } = reply else { return Err(out_of_turn(&reply)) };
    if stored != secret.fingerprint {
        return Err(Error::failed(format!(
            "the node stored another value of {name} than was sent (fingerprint {stored}, not {})",
            secret.fingerprint
        ))
        .hint(format!("`stead secret set {} {name}` delivers it again", params.slug)));
    }
    secret.state = SecretState::Delivered;
    secret.node_id = Some(holder);
    secret.delivered_at = Some(cx.store().clock().now());
    let entry = Entry::new(&params.actor, "secret.deliver", holder.to_string())
        .detail("workspace", params.slug.as_str())
        .detail("name", name)
        .detail("version", version);
    cx.store()
        .write(move |tx| {
            Box::pin(async move {
                tx.acknowledge_envelope(holder, &secret.name, version).await?;
                put_sent(tx, secret, by_api).await?;
                entry.append(tx).await
            })
        })
        .await
}

/// Records what was sent. Where a newer value was set meanwhile, that one goes on waiting in the vault, and the rest tells
/// of what the node holds.
///
/// One that came through the API knows its own value already: of what is recorded of it, only who holds the older one changes.
async fn put_sent(tx: &mut Tx, sent: SecretRecord, by_api: bool) -> Result<()> {
    let record = match tx.secret(sent.workspace_id, &sent.name).await? {
        Some(newer) if newer.version > sent.version && by_api => SecretRecord { node_id: sent.node_id, ..newer },
        Some(newer) if newer.version > sent.version => {
            SecretRecord { version: newer.version, state: SecretState::Vault, delivered_at: None, ..sent }
        }
        _ => sent,
    };
    tx.put_secret(&record).await
}

/// What was delivered to this node is on no node any more.
pub(super) async fn take_back(cx: &StepCx<'_, Platform>, params: &Params, node: &Node) -> Result<(), StepError> {
    let (workspace, node) = (params.workspace, node.id);
    cx.store()
        .write(move |tx| {
            Box::pin(async move {
                for mut secret in tx.secrets(workspace).await? {
                    if secret.node_id == Some(node) {
                        secret.state = SecretState::Vault;
                        secret.node_id = None;
                        secret.delivered_at = None;
                        tx.put_secret(&secret).await?;
                    }
                }
                tx.delete_envelopes_of(node).await
            })
        })
        .await?;
    Ok(())
}
