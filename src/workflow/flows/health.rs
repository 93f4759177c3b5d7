//! Step `health`: the workload answers, and holds the secrets that were delivered.

use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;

use super::declared::Declared;
use super::{Params, Platform, node};
use crate::audit::Entry;
use crate::ssh::session::out_of_turn;
use crate::store::{NodeRole, NodeState, SecretState, WorkspaceState};
use crate::wire::message::{Reply, Request};
use crate::workflow::{Step, StepCx, StepError};
use crate::{Error, Result};

/// How long the node may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the workload may take to become healthy, in seconds.
const HEALTHY_WITHIN: u64 = 30;

/// The step, for the node of this role. Taken back, it says no longer that the node is well.
pub(super) struct Health(pub(super) NodeRole);

/// What the workload says of itself.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    credentials: std::collections::BTreeMap<String, Credential>,
}

#[derive(Debug, Deserialize)]
struct Credential {
    fingerprint: String,
}

#[async_trait]
impl Step<Platform> for Health {
    fn name(&self) -> &'static str {
        "health"
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let params: Params = cx.params()?;
        let platform = cx.context();
        let declared = Declared::of(cx, &params).await?;
        let tier = declared.tier()?;
        let record = node::of(cx, self.0).await?;
        if let Some(health) = &tier.health {
            let mut session = platform.session(&record, cx.fence(), PATIENCE).await?;
            let request = Request::Health { port: health.port, path: health.path.clone(), timeout: HEALTHY_WITHIN };
            let reply = session.request(request, &mut |_| {}).await?;
            let Reply::Health { status, body } = reply else { return Err(out_of_turn(&reply).into()) };
            judge(status, &body, health.port)?;
            let secrets = cx.store().read().await?.secrets(params.workspace).await?;
            let answer: Answer = serde_json::from_str(&body).unwrap_or(Answer { credentials: Default::default() });
            for name in &declared.workspace.secrets {
                let recorded = secrets.iter().find(|secret| secret.name == *name);
                match (answer.credentials.get(name), recorded) {
                    // A workload that does not speak of credentials is healthy on its word alone.
                    (None, _) if answer.credentials.is_empty() => {}
                    (Some(held), Some(recorded)) if held.fingerprint == recorded.fingerprint => {}
                    // A newer one waits; of the older one, which the node holds, no fingerprint is left.
                    (_, Some(recorded)) if recorded.state == SecretState::Vault => {}
                    (held, _) => {
                        let held = held.map_or("none", |held| &held.fingerprint);
                        let error = Error::failed(format!(
                            "the workload holds another value of {name} than was delivered (it has {held})"
                        ));
                        return Err(StepError::Fatal(
                            error.hint(format!("`stead secret set {} {name}` delivers it again", params.slug)),
                        ));
                    }
                }
            }
            session.close().await;
        }
        let (actor, role) = (params.actor.clone(), self.0);
        cx.store()
            .write(move |tx| {
                Box::pin(async move {
                    let Some(mut node) = tx.node_as(params.workspace, role).await? else { return Ok(()) };
                    if node.state == NodeState::Ready {
                        return Ok(());
                    }
                    node.state = NodeState::Ready;
                    tx.update_node(&node).await?;
                    if role == NodeRole::Serving
                        && let Some(mut workspace) = tx.workspace(params.workspace).await?
                    {
                        workspace.state = WorkspaceState::Ready;
                        tx.update_workspace(&workspace).await?;
                    }
                    Entry::new(&actor, "node.ready", node.id.to_string())
                        .detail("workspace", params.slug.as_str())
                        .append(tx)
                        .await
                })
            })
            .await?;
        Ok(serde_json::json!({"addresses": record.addresses}))
    }

    async fn undo(&self, cx: &StepCx<'_, Platform>) -> Result<(), StepError> {
        let (params, role): (Params, _) = (cx.params()?, self.0);
        cx.store()
            .write(move |tx| {
                Box::pin(async move {
                    let Some(mut node) = tx.node_as(params.workspace, role).await? else { return Ok(()) };
                    if node.state == NodeState::Ready {
                        node.state = NodeState::Degraded;
                        tx.update_node(&node).await?;
                    }
                    if role == NodeRole::Serving
                        && let Some(mut workspace) = tx.workspace(params.workspace).await?
                        && workspace.state == WorkspaceState::Ready
                    {
                        workspace.state = WorkspaceState::Degraded;
                        tx.update_workspace(&workspace).await?;
                    }
                    Ok(())
                })
            })
            .await?;
        Ok(())
    }
}

fn judge(status: u16, body: &str, port: u16) -> Result<(), StepError> {
    let error = match status {
        200..300 => return Ok(()),
        0 => Error::failed(format!("nothing answered on the node's port {port} within {HEALTHY_WITHIN} seconds")),
        _ => Error::failed(format!("the workload says that it is not healthy (HTTP {status}): {}", body.trim())),
    };
    Err(StepError::Fatal(error.hint("`stead node logs` shows what the node and its workload said; on a machine that was brought, `journalctl -b` does")))
}
