//! Step `data`: what the old node holds, on the new one. It goes through this process as ciphertext, since nodes do not reach each
//! other.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::json;

use super::super::{Params, Platform, node};
use crate::store::{Node, NodeRole, SecretState};
use crate::wire::handover::{Sum, Ticket};
use crate::workflow::{OrRetry, Step, StepCx, StepError};
use crate::{Error, Kind, Result};

/// How often it is told how much has gone.
const TELL: Duration = Duration::from_secs(2);

/// The step. There is nothing to take back: the old node keeps all of it, and the new one goes with what it has.
pub(super) struct HandOver;

#[async_trait]
impl Step<Platform> for HandOver {
    fn name(&self) -> &'static str {
        "data"
    }

    /// A terabyte at 20 MiB a second.
    fn timeout(&self) -> Duration {
        Duration::from_secs(16 * 60 * 60)
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let params: Params = cx.params()?;
        if params.lose_data {
            return Ok(json!({"lost": true}));
        }
        let (old, new) = (node::of(cx, NodeRole::Serving).await?, node::of(cx, NodeRole::Incoming).await?);
        let ticket = ticket(cx, &old, &new)?;
        let (mut from, mut to) = (node::session(cx, &old).await?, node::session(cx, &new).await?);
        cx.progress("handing data and secrets over");
        let mut told = Instant::now();
        let mut tell = |gone: u64| {
            if told.elapsed() >= TELL {
                told = Instant::now();
                cx.progress(format!("{} MiB handed over", gone >> 20));
            }
        };
        let handed = tokio::select! {
            handed = from.hand_over(&mut to, &ticket, &mut tell) => handed,
            () = cx.cancelled() => Err(Error::failed("interrupted")),
        };
        let (sent, taken) = match handed {
            Err(error) if error.kind() == Kind::Unreachable => return Err(error).or_retry(),
            handed => handed?,
        };
        compare(cx, &params, &old, &sent, &taken).await?;
        // It is not spoken to for as long as the playbooks take.
        from.close().await;
        cx.context().keep(new.id, cx.fence(), to);
        let names: Vec<&String> = taken.secrets.iter().map(|(name, ..)| name).collect();
        Ok(json!({"digest": taken.digest, "entries": taken.entries, "bytes": taken.bytes, "secrets": names}))
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}

fn ticket(cx: &StepCx<'_, Platform>, old: &Node, new: &Node) -> Result<Ticket> {
    let known = |what: &Option<String>, node: &Node| {
        what.clone().ok_or_else(|| Error::failed(format!("the node {} has not been met yet", node.id)))
    };
    let ticket = Ticket {
        fleet: cx.context().fleet_id.to_string(),
        from: old.id.to_string(),
        from_key: known(&old.host_key, old)?,
        to: new.id.to_string(),
        recipient: known(&new.recipient, new)?,
        workflow: cx.workflow().to_string(),
        signature: String::new(),
    };
    ticket.sign(cx.context().keys.signer())
}

/// Both nodes must tell the same, and every secret that the old node holds by the record must be there.
async fn compare(cx: &StepCx<'_, Platform>, params: &Params, old: &Node, sent: &Sum, taken: &Sum) -> Result<()> {
    if sent != taken {
        return Err(Error::failed(format!(
            "the new node took something else than the old one sent: {} entries of {}, {} bytes of {}",
            taken.entries, sent.entries, taken.bytes, sent.bytes
        )));
    }
    let recorded = cx.store().read().await?.secrets(params.workspace).await?;
    let held = recorded.iter().filter(|secret| {
        secret.node_id == Some(old.id) && secret.is_in_use() && secret.state == SecretState::Delivered
    });
    for secret in held {
        let known = (secret.name.clone(), secret.version, secret.fingerprint.clone());
        if !taken.secrets.contains(&known) {
            return Err(Error::failed(format!(
                "the old node does not hold the value of {} that was delivered to it last",
                secret.name
            ))
            .hint(format!("give the value again (`stead secret set {} {}`), then rebuild", params.slug, secret.name)));
        }
    }
    Ok(())
}
