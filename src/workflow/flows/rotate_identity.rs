//! `rotate-identity`: another age identity for a node.
//!
//! As with host keys, the next one is recorded as pending before it is put in use. The node opens what was sealed for either until
//! the old one is retired, and that is done once everything that waits for the node has been brought: from the moment on that the
//! new recipient is recorded as the current one, nothing is sealed for the old one any more. The secrets that the node holds are
//! encrypted to the machine, not to its identity, and are not touched.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::secrets::hand_over;
use super::{Params, Platform, node, platform, start};
use crate::audit::Entry;
use crate::ssh::session::out_of_turn;
use crate::store::{Node, SecretRecord, SecretState};
use crate::wire::message::{Reply, Request};
use crate::workflow::{Flow, Step, StepCx, StepError};
use crate::{Error, Result};

/// The flow's name.
pub const KIND: &str = "rotate-identity";
/// How long the node may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// The flow. Once the new recipient is the current one, it only goes on.
pub fn flow() -> Flow<Platform> {
    Flow {
        kind: KIND,
        steps: vec![Box::new(start::Start), Box::new(Prepare), Box::new(Install), Box::new(Promote), Box::new(Retire)],
    }
}

async fn served(cx: &StepCx<'_, Platform>) -> Result<Node> {
    let params: Params = cx.params()?;
    platform::node_of(cx.store(), params.workspace).await
}

/// Step `prepare`: the node makes the identity aside, and its recipient is recorded as pending.
struct Prepare;

#[async_trait]
impl Step<Platform> for Prepare {
    fn name(&self) -> &'static str {
        "prepare"
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let record = served(cx).await?;
        if let Some(pending) = &record.recipient_pending {
            return Ok(json!({"recipient": pending}));
        }
        if record.recipient.is_none() {
            return Err(StepError::Fatal(Error::failed("the node has no identity yet that could be replaced")));
        }
        let mut session = node::session(cx, &record).await?;
        let reply = session.request(Request::IdentityPrepare, &mut |_| {}).await?;
        let Reply::Identity { recipient } = reply else { return Err(out_of_turn(&reply).into()) };
        let output = json!({"recipient": recipient});
        node::update(cx, move |node| node.recipient_pending = Some(recipient)).await?;
        cx.context().keep(record.id, cx.fence(), session);
        Ok(output)
    }

    /// What stays on a node that does not answer is an identity that nobody seals for; the next rotation takes it away.
    async fn undo(&self, cx: &StepCx<'_, Platform>) -> Result<(), StepError> {
        let params: Params = cx.params()?;
        let Some(record) = cx.store().read().await?.node_of(params.workspace).await? else { return Ok(()) };
        let (Some(recipient), Some(_)) = (record.recipient.clone(), &record.recipient_pending) else { return Ok(()) };
        let taken_back = async {
            let mut session = cx.context().session(&record, cx.fence(), PATIENCE).await?;
            node::ask(&mut session, Request::IdentityRetire { recipient }).await?;
            session.close().await;
            Ok::<_, Error>(())
        };
        if let Err(error) = taken_back.await {
            tracing::warn!(node = %record.id, error = error.one_line(), "an identity that is not used stays on the node");
        }
        node::update(cx, |node| node.recipient_pending = None).await.map(drop)
    }
}

/// Step `install`: the node puts it in use, and still opens what was sealed for the old one.
struct Install;

#[async_trait]
impl Step<Platform> for Install {
    fn name(&self) -> &'static str {
        "install"
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let record = served(cx).await?;
        let Some(recipient) = record.recipient_pending.clone() else { return Ok(serde_json::Value::Null) };
        let mut session = node::session(cx, &record).await?;
        node::ask(&mut session, Request::IdentityInstall { recipient }).await?;
        cx.context().keep(record.id, cx.fence(), session);
        Ok(serde_json::Value::Null)
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}

/// Step `promote`: the record says so, and from now on everything is sealed for the new one.
struct Promote;

#[async_trait]
impl Step<Platform> for Promote {
    fn name(&self) -> &'static str {
        "promote"
    }

    fn commits(&self) -> bool {
        true
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let params: Params = cx.params()?;
        let fence = cx.fence();
        let promote = cx.store().write(move |tx| {
            Box::pin(async move {
                let Some(mut node) = tx.node_of(params.workspace).await? else { return Ok(()) };
                let Some(next) = node.recipient_pending.take() else { return Ok(()) };
                node.recipient = Some(next);
                node.fence = node.fence.max(fence);
                tx.update_node(&node).await?;
                let entry = Entry::new(&params.actor, "node.rotate_identity", node.id.to_string());
                entry.detail("workspace", params.slug).append(tx).await
            })
        });
        promote.await?;
        Ok(serde_json::Value::Null)
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}

/// Step `retire`: what waits for the node, and may have been sealed for the old one, is brought; then the old one is destroyed.
struct Retire;

#[async_trait]
impl Step<Platform> for Retire {
    fn name(&self) -> &'static str {
        "retire"
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let params: Params = cx.params()?;
        let record = served(cx).await?;
        let Some(recipient) = record.recipient.clone() else { return Ok(serde_json::Value::Null) };
        let mut reader = cx.store().read().await?;
        let now = reader.now();
        let waiting = reader.envelopes(record.id, now).await?;
        drop(reader);
        let mut session = node::session(cx, &record).await?;
        let mut brought = Vec::new();
        for waiting in waiting {
            let secret = cx.store().read().await?.secret(params.workspace, &waiting.name).await?;
            let wanted = |secret: &SecretRecord| {
                secret.version == waiting.version && secret.state != SecretState::Delivered && !secret.is_removed()
            };
            // Of the others there is a newer word, which was sealed later, or the node has it.
            let Some(secret) = secret.filter(wanted) else { continue };
            cx.progress(format!("bringing {}", waiting.name));
            hand_over(cx, &params, &record, secret, waiting.envelope, &mut session).await?;
            brought.push(waiting.name);
        }
        node::ask(&mut session, Request::IdentityRetire { recipient }).await?;
        session.close().await;
        Ok(json!({"brought": brought}))
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}
