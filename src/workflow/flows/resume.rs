//! `resume`: a suspended workspace's node, started again and brought to what is declared now.
//!
//! The workspace is suspended until its node is healthy: a failure ends with the node stopped as before.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::platform::BootTime;
use super::suspend::{self, Asked};
use super::{Params, Platform, health, is_brought, node, playbooks, secrets, start, undeclared};
use crate::audit::Entry;
use crate::id::WorkspaceId;
use crate::store::{Node, NodeRole, NodeState, Suspender, Suspension, Tx, Workspace, WorkspaceState};
use crate::wire::message::Request;
use crate::workflow::{Flow, Step, StepCx, StepError};
use crate::{Error, Result};

/// The flow's name.
pub const KIND: &str = "resume";

/// The flow.
pub fn flow() -> Flow<Platform> {
    Flow {
        kind: KIND,
        steps: vec![
            Box::new(Restart),
            Box::new(secrets::Secrets { on_new_node: false, role: NodeRole::Serving }),
            Box::new(playbooks::Playbooks(NodeRole::Serving)),
            Box::new(undeclared::Undeclared),
            Box::new(health::Health(NodeRole::Serving)),
            Box::new(Lift),
        ],
    }
}

/// The workspace, with its node, for whoever asks that it be resumed.
///
/// # Errors
/// Fails where it is not suspended, nor about to be, and where its suspension is not theirs to lift.
pub async fn asked(tx: &mut Tx, id: WorkspaceId, by: Suspender) -> Result<(Workspace, Node)> {
    let none = || Error::conflict("the workspace is not suspended").hint("there is nothing to resume");
    let workspace = tx.workspace(id).await?.ok_or_else(none)?;
    let node = tx.node_of(id).await?.ok_or_else(none)?;
    // One that died after its last step is still to be ended.
    if workspace.suspension.is_none() && tx.live_workflow(KIND, &id.to_string()).await?.is_none() {
        return Err(none());
    }
    may_lift(&workspace, by)?;
    Ok((workspace, node))
}

/// Operators lift what operators said, and nobody else goes round it.
///
/// # Errors
/// Fails where operators suspended the workspace, and whoever asks is none.
pub fn may_lift(workspace: &Workspace, by: Suspender) -> Result<()> {
    let by_operators = workspace.suspension.as_ref().is_some_and(|stands| stands.by == Suspender::Operator);
    match by_operators && by != Suspender::Operator {
        true => Err(Error::conflict(format!("the platform suspended this workspace{}", suspend::because(workspace)))
            .hint("only the platform's operators resume it, or end it")),
        false => Ok(()),
    }
}

/// Starts the node that serves and was stopped, with what was set up on it.
pub(super) async fn serve_again(cx: &StepCx<'_, Platform>) -> Result<(), StepError> {
    start::start(cx).await?;
    let record = node::of(cx, NodeRole::Serving).await?;
    if is_brought(&record) {
        let mut session = node::session(cx, &record).await?;
        node::ask(&mut session, Request::WorkloadStart).await?;
        cx.context().keep(record.id, cx.fence(), session);
    }
    Ok(())
}

/// Step `start`: the node runs again. Taken back, it is stopped, and its workspace suspended, as before.
struct Restart;

#[async_trait]
impl Step<Platform> for Restart {
    fn name(&self) -> &'static str {
        "start"
    }

    fn timeout(&self) -> Duration {
        BootTime::LONGEST.sum() + suspend::STOPPED_WITHIN
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let Asked { params, by, .. } = cx.params()?;
        let workspace = cx.store().read().await?.workspace(params.workspace).await?;
        let workspace = workspace.ok_or_else(|| Error::failed(format!("the workspace {} is gone", params.slug)))?;
        may_lift(&workspace, by)?;
        if is_brought(&node::of(cx, NodeRole::Serving).await?) {
            // One that does not answer is as it was, and there is nothing to take back.
            start::start(cx).await?;
        }
        if workspace.state == WorkspaceState::Suspended {
            let booting = |node: &mut Node| {
                node.state = NodeState::Booting;
                suspend::settle(node);
            };
            node::update(cx, booting).await?;
        }
        serve_again(cx).await?;
        Ok(json!({"suspension": workspace.suspension}))
    }

    async fn undo(&self, cx: &StepCx<'_, Platform>) -> Result<(), StepError> {
        let params: Params = cx.params()?;
        let Some(record) = node::find(cx, NodeRole::Serving).await? else { return Ok(()) };
        let workspace = cx.store().read().await?.workspace(params.workspace).await?;
        // Lifted by another before.
        let Some(workspace) = workspace.filter(|workspace| workspace.suspension.is_some()) else { return Ok(()) };
        if suspend::may_run(&record) {
            suspend::stop(cx).await?;
        }
        if workspace.state == WorkspaceState::Suspended {
            return Ok(());
        }
        let back = cx.store().write(move |tx| {
            Box::pin(async move {
                let Some(mut workspace) = tx.workspace(params.workspace).await? else { return Ok(()) };
                workspace.state = WorkspaceState::Suspended;
                tx.update_workspace(&workspace).await
            })
        });
        Ok(back.await?)
    }
}

/// Step `lift`: nothing says any more that the workspace is suspended, unless an operator has said so anew meanwhile.
struct Lift;

#[async_trait]
impl Step<Platform> for Lift {
    fn name(&self) -> &'static str {
        "lift"
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let (Asked { params, by, .. }, revision) = (cx.params()?, cx.revision());
        let lift = cx.store().write(move |tx| {
            Box::pin(async move {
                let Some(mut workspace) = tx.workspace(params.workspace).await? else { return Ok(()) };
                let Some(node) = tx.node_of(params.workspace).await? else { return Ok(()) };
                if workspace.suspension.is_none() || may_lift(&workspace, by).is_err() {
                    return Ok(());
                }
                workspace.suspension = None;
                // Of a node that was healthy all the while, an abandoned rebuild's, the step before says nothing.
                if workspace.state == WorkspaceState::Suspended {
                    workspace.state = WorkspaceState::Ready;
                }
                workspace.revision_id = revision.or(workspace.revision_id);
                tx.update_workspace(&workspace).await?;
                let entry = Entry::new(&params.actor, "node.start", node.id.to_string());
                entry.detail("workspace", params.slug).append(tx).await
            })
        });
        lift.await?;
        Ok(serde_json::Value::Null)
    }

    async fn undo(&self, cx: &StepCx<'_, Platform>) -> Result<(), StepError> {
        #[derive(serde::Deserialize)]
        struct Lifted {
            suspension: Option<Suspension>,
        }
        let (params, lifted): (Params, Option<Lifted>) = (cx.params()?, cx.try_output("start")?);
        let Some(suspension) = lifted.and_then(|lifted| lifted.suspension) else { return Ok(()) };
        let back = cx.store().write(move |tx| {
            Box::pin(async move {
                let Some(mut workspace) = tx.workspace(params.workspace).await? else { return Ok(()) };
                if workspace.suspension.is_none() {
                    workspace.suspension = Some(suspension);
                    tx.update_workspace(&workspace).await?;
                }
                Ok(())
            })
        });
        Ok(back.await?)
    }
}
