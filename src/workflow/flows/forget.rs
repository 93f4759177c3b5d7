//! `forget`: a secret's value, gone from its node and its fingerprint from the record.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Platform;
use crate::Result;
use crate::audit::Entry;
use crate::id::{SecretId, WorkspaceId};
use crate::ssh::session::out_of_turn;
use crate::store::{Node, SecretRecord};
use crate::wire::message::{Reply, Request};
use crate::workflow::{Flow, Step, StepCx, StepError};

/// The flow's name. Its subject is the secret's id.
pub const KIND: &str = "forget";
/// How long the node may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the flow is given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Params {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The secret.
    pub secret: SecretId,
    /// The secret's name, by which the node knows it.
    pub name: String,
    /// Who asked for it, for the audit log.
    pub actor: String,
}

/// The flow. Nothing of it is taken back: whoever wants the value again sets it again.
pub fn flow() -> Flow<Platform> {
    Flow { kind: KIND, steps: vec![Box::new(Forget)] }
}

struct Forget;

#[async_trait]
impl Step<Platform> for Forget {
    fn name(&self) -> &'static str {
        "forget"
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let params: Params = cx.params()?;
        let mut reader = cx.store().read().await?;
        let node = reader.node_of(params.workspace).await?;
        let Some(secret) =
            reader.secret(params.workspace, &params.name).await?.filter(|found| found.id == params.secret)
        else {
            return Ok(serde_json::Value::Null);
        };
        drop(reader);
        let version = secret.version;
        take_away(cx, node.as_ref(), secret, version, &params.actor).await?;
        if let Some(node) = node {
            cx.context().close(node.id).await;
        }
        Ok(serde_json::Value::Null)
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}

/// Takes a secret away from its node, where one holds it, and its fingerprint from the record. The record stays, since its
/// version must: the node takes none that is not above all that it has seen. `version` is what it is recorded as.
pub(super) async fn take_away(
    cx: &StepCx<'_, Platform>,
    node: Option<&Node>,
    secret: SecretRecord,
    version: u64,
    actor: &str,
) -> Result<()> {
    let platform = cx.context();
    if let Some(node) = node.filter(|node| secret.node_id == Some(node.id)) {
        let mut session = platform.session(node, cx.fence(), PATIENCE).await?;
        let reply = session.request(Request::SecretRemove { name: secret.name.clone() }, &mut |_| {}).await?;
        let Reply::Done = reply else { return Err(out_of_turn(&reply)) };
        platform.keep(node.id, cx.fence(), session);
    }
    let (held_by, forgotten) = (secret.node_id, secret.version);
    let mut emptied = SecretRecord { version, node_id: None, ..secret };
    emptied.remove();
    let actor = actor.to_owned();
    cx.store()
        .write(move |tx| {
            Box::pin(async move {
                match tx.secret(emptied.workspace_id, &emptied.name).await? {
                    // Given anew meanwhile: only that nobody holds it yet is to be written.
                    Some(newer) if newer.version > forgotten => {
                        tx.put_secret(&SecretRecord { node_id: None, ..newer }).await?;
                    }
                    _ => tx.put_secret(&emptied).await?,
                }
                let Some(node) = held_by else { return Ok(()) };
                tx.acknowledge_envelope(node, &emptied.name, forgotten).await?;
                Entry::new(actor, "secret.forget", node.to_string())
                    .detail("name", emptied.name)
                    .detail("version", forgotten)
                    .append(tx)
                    .await
            })
        })
        .await
}
