//! Step `stop`: the old node's workload, stopped, so that what it works with stays as it is until the new node has it.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::{Params, Platform, node, platform};
use crate::Result;
use crate::provider::MachineState;
use crate::ssh::NodeSession;
use crate::store::{Node, NodeRole, NodeState, WorkspaceState};
use crate::wire::message::Request;
use crate::workflow::{Step, StepCx, StepError};

/// How long the node may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// [`Node::details`] holds under this key that its workload was stopped, and what it was before.
const STOPPED: &str = "stopped";

/// What the record said before.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Before {
    node: NodeState,
    workspace: WorkspaceState,
}

/// The step. Taken back, the old node serves as before.
pub(super) struct Stop;

#[async_trait]
impl Step<Platform> for Stop {
    fn name(&self) -> &'static str {
        "stop"
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(5 * 60)
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let params: Params = cx.params()?;
        let old = node::of(cx, NodeRole::Serving).await?;
        let mut session = match node::session(cx, &old).await {
            Ok(session) => session,
            // Nothing of it is wanted, so it may be dead.
            Err(_) if params.lose_data => return Ok(json!({"stopped": false})),
            Err(error) => return Err(error),
        };
        // Before it is so: whoever comes upon a node whose workload is stopped starts it again.
        note(cx).await?;
        node::ask(&mut session, Request::WorkloadStop).await?;
        cx.context().keep(old.id, cx.fence(), session);
        Ok(json!({"stopped": true}))
    }

    async fn undo(&self, cx: &StepCx<'_, Platform>) -> Result<(), StepError> {
        let params: Params = cx.params()?;
        let Some(old) = node::find(cx, NodeRole::Serving).await? else { return Ok(()) };
        if old.details.get(STOPPED).is_none() {
            return Ok(());
        }
        // Suspended while this rebuild was parked: it is started by its resuming, which finds that note too.
        let workspace = cx.store().read().await?.workspace(params.workspace).await?;
        if workspace.is_some_and(|workspace| workspace.state == WorkspaceState::Suspended) {
            return Ok(());
        }
        let resumed = resume(cx, &old).await;
        match resumed {
            // It is started when it answers again, by whatever is done to it next.
            Err(_) if params.lose_data => Ok(()),
            Err(error) => Err(StepError::Fatal(
                error.context("the old node's workload could not be started again").hint(format!(
                    "where it is dead for good: `stead node rebuild {} --lose-data` replaces it without what is on it",
                    params.slug
                )),
            )),
            Ok(()) => Ok(()),
        }
    }
}

/// Writes down that the workload is about to be stopped.
async fn note(cx: &StepCx<'_, Platform>) -> Result<()> {
    let (params, fence): (Params, _) = (cx.params()?, cx.fence());
    let note = cx.store().write(move |tx| {
        Box::pin(async move {
            let Some(mut node) = tx.node_of(params.workspace).await? else { return Ok(()) };
            let Some(mut workspace) = tx.workspace(params.workspace).await? else { return Ok(()) };
            if node.details.get(STOPPED).is_some() {
                return Ok(());
            }
            node.details[STOPPED] = json!(Before { node: node.state, workspace: workspace.state });
            node.state = NodeState::Degraded;
            node.fence = node.fence.max(fence);
            tx.update_node(&node).await?;
            workspace.state = WorkspaceState::Degraded;
            tx.update_workspace(&workspace).await
        })
    });
    note.await
}

async fn resume(cx: &StepCx<'_, Platform>, old: &Node) -> Result<()> {
    let provider = cx.context().provider(&old.kind)?;
    let mut patience = PATIENCE;
    if provider.find(&old.mark).await?.is_some_and(|machine| machine.state == MachineState::Stopped) {
        provider.start(&old.mark).await?;
        patience = platform::BootTime::of(old).sshd;
    }
    let mut session = cx.context().session(old, cx.fence(), patience).await?;
    resume_with(cx, old, &mut session).await?;
    session.close().await;
    Ok(())
}

/// Starts a node's workload again, where a rebuild has stopped it, and writes down that the node is as it was before.
///
/// # Errors
/// Fails where the node cannot start it.
pub(in crate::workflow::flows) async fn resume_with(
    cx: &StepCx<'_, Platform>,
    record: &Node,
    session: &mut NodeSession,
) -> Result<()> {
    if record.details.get(STOPPED).is_none() {
        return Ok(());
    }
    node::ask(session, Request::WorkloadStart).await?;
    let (params, id, fence): (Params, _, _) = (cx.params()?, record.id, cx.fence());
    let write = cx.store().write(move |tx| {
        Box::pin(async move {
            let Some(mut node) = tx.node(id).await? else { return Ok(()) };
            let before = node.details.as_object_mut().and_then(|details| details.remove(STOPPED));
            let Some(Ok(before)) = before.map(serde_json::from_value::<Before>) else { return Ok(()) };
            node.state = before.node;
            node.fence = node.fence.max(fence);
            tx.update_node(&node).await?;
            let Some(mut workspace) = tx.workspace(params.workspace).await? else { return Ok(()) };
            if workspace.state == WorkspaceState::Degraded {
                workspace.state = before.workspace;
                tx.update_workspace(&workspace).await?;
            }
            Ok(())
        })
    });
    write.await
}
