//! Step `start`: a node that was stopped, running again; but not that of a workspace that is suspended.

use std::time::Duration;

use async_trait::async_trait;

use super::platform::BootTime;
use super::reach::Reach;
use super::{Params, Platform, is_brought, node, platform, rebuild, suspend};
use crate::provider::MachineState;
use crate::ssh::session::out_of_turn;
use crate::store::Node;
use crate::wire::message::{Reply, Request};
use crate::workflow::{Step, StepCx, StepError};
use crate::{Error, Result};

/// How long one that runs may take to answer.
const ANSWER: Duration = Duration::from_secs(15);

/// The step. There is nothing to take back.
pub(super) struct Start;

#[async_trait]
impl Step<Platform> for Start {
    fn name(&self) -> &'static str {
        "start"
    }

    fn timeout(&self) -> Duration {
        BootTime::LONGEST.sum() + Duration::from_secs(30)
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let params: Params = cx.params()?;
        if let Some(workspace) = cx.store().read().await?.workspace(params.workspace).await? {
            suspend::refuse(&workspace)?;
        }
        start(cx).await
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}

/// Starts the node that serves, where it is stopped, and keeps a session with it.
///
/// # Errors
/// Fails where its machine is gone, or does not answer.
pub(super) async fn start(cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
    let params: Params = cx.params()?;
    let platform = cx.context();
    let mut node = platform::node_of(cx.store(), params.workspace).await?;
    if is_brought(&node) {
        let desired = platform.desired(cx.store(), cx.revision()).await?;
        // Who writes the fleet's files says where the machine is, and which host key it has; that it is this node, only
        // the agent there can say. Before it has, the old place stays on record.
        let declared = desired.workspace(&params.slug)?.0.machine.as_ref();
        let place = declared.map(|machine| (Reach::from(machine), machine.host_key.clone()));
        let renew = move |node: &mut Node| {
            if let Some((reach, pinned)) = place {
                reach.record(node);
                node.host_key = pinned.or(node.host_key.take());
            }
        };
        (renew.clone())(&mut node);
        let session = platform.session(&node, cx.fence(), ANSWER).await?;
        node::update(cx, renew).await?;
        platform.keep(node.id, cx.fence(), session);
        return Ok(serde_json::json!({"started": false}));
    }
    let provider = platform.provider(&node.kind)?;
    let machine = provider.find(&node.mark).await?.ok_or_else(|| {
        Error::failed(format!("the machine of {:?} is gone, though nobody took it down", params.slug))
            .hint(format!("`stead down {0}` clears the record, `stead up {0}` makes a new node", params.slug))
    })?;
    let started = machine.state == MachineState::Stopped;
    if started {
        cx.progress("starting the node");
        provider.start(&node.mark).await?;
    }
    let boot = BootTime::of(&node);
    let patience = if started { boot.sshd } else { ANSWER };
    let mut session = platform.session(&node, cx.fence(), patience).await?;
    if started {
        let reply = session.request(Request::WaitBoot { timeout: boot.settle.as_secs() }, &mut |_| {}).await?;
        let Reply::Booted { .. } = reply else { return Err(out_of_turn(&reply).into()) };
    }
    // An abandoned rebuild may have stopped it.
    rebuild::resume_with(cx, &node, &mut session).await?;
    platform.keep(node.id, cx.fence(), session);
    Ok(serde_json::json!({"started": started}))
}
