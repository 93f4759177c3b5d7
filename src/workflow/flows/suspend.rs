//! `suspend`: a workspace's node, stopped on purpose, with all that is on it kept.
//!
//! Whoever suspends a workspace says so at once ([`wish`]), so that no customer's word comes before an operator's; the flow makes it
//! so. A machine that people brought cannot be switched off: what was set up on it is stopped, and stays so when it boots.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::platform::BootTime;
use super::{Params, Platform, is_brought, node, platform, rebuild, resume};
use crate::audit::Entry;
use crate::id::{WorkflowId, WorkspaceId};
use crate::store::{BeforeSuspension, Node, NodeState, Suspender, Tx, WorkflowState, Workspace, WorkspaceState};
use crate::wire::message::Request;
use crate::workflow::{Flow, Step, StepCx, StepError};
use crate::{Error, Result};

/// The flow's name.
pub const KIND: &str = "suspend";
/// How long a machine may take to shut down, and to be ended where it does not.
pub(super) const STOPPED_WITHIN: Duration = Duration::from_secs(150);
/// [`Node::details`] says under this key that a machine which people brought was told to stop its workload, and has not said yet that
/// it did.
const STOPPING: &str = "stopping";
/// The most characters of a reason.
const REASON: usize = 500;

/// What this flow and `resume` are given beside what every flow is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Asked {
    /// The workspace, and who asked.
    #[serde(flatten)]
    pub params: Params,
    /// As whom they asked.
    pub by: Suspender,
    /// Why, in words for the customer.
    #[serde(default)]
    pub reason: Option<String>,
}

/// The flow. When the node cannot be stopped, it serves as before.
pub fn flow() -> Flow<Platform> {
    Flow { kind: KIND, steps: vec![Box::new(Mark), Box::new(Stop)] }
}

/// Refuses a reason that nobody could read.
///
/// # Errors
/// Fails where it is empty, longer than 500 characters, or has characters that cannot be seen.
pub fn check_reason(reason: Option<&str>) -> Result<()> {
    let unreadable = |reason: &str| {
        reason.trim().is_empty() || reason.chars().count() > REASON || reason.chars().any(char::is_control)
    };
    match reason.is_some_and(unreadable) {
        true => Err(Error::input(format!("a reason has 1 to {REASON} characters, all of them visible"))),
        false => Ok(()),
    }
}

/// Writes down that a workspace is to be suspended, before the flow is enqueued; gives it, with its node. A rebuild that is under
/// way ends before the flow begins, whichever of its nodes serves then; a further one is refused from now on.
///
/// # Errors
/// Fails where it has no node that serves, or a rebuild of that node is parked.
pub async fn wish(tx: &mut Tx, id: WorkspaceId, by: Suspender, reason: Option<String>) -> Result<(Workspace, Node)> {
    let none =
        || Error::conflict("there is no node yet that serves this workspace").hint("wait until the workspace is ready");
    let mut workspace = tx.workspace(id).await?.filter(can_be_suspended).ok_or_else(none)?;
    let node = tx.node_of(id).await?.ok_or_else(none)?;
    let rebuild = tx.live_workflow(rebuild::KIND, &id.to_string()).await?;
    if let Some(parked) = rebuild.filter(|rebuild| rebuild.state == WorkflowState::Parked) {
        return Err(Error::conflict("the workspace's node is being replaced").hint(format!(
            "its rebuild is parked, and comes first: `stead workflow retry {0}`, or `stead workflow abandon {0}`",
            parked.id
        )));
    }
    workspace.suspend(by, reason, tx.now());
    tx.update_workspace(&workspace).await?;
    Ok((tx.workspace(id).await?.unwrap_or(workspace), node))
}

fn can_be_suspended(workspace: &Workspace) -> bool {
    matches!(workspace.state, WorkspaceState::Ready | WorkspaceState::Degraded | WorkspaceState::Suspended)
}

/// Refuses what needs a node that runs.
///
/// # Errors
/// Fails where the workspace is suspended, with who resumes it.
pub fn refuse(workspace: &Workspace) -> Result<()> {
    if workspace.state != WorkspaceState::Suspended {
        return Ok(());
    }
    let by = workspace.suspension.as_ref().map(|suspension| suspension.by);
    Err(refusal(&workspace.slug, by == Some(Suspender::Customer), &because(workspace)))
}

/// Why what needs a node that runs is refused; `because` is what [`because`] gives.
pub fn refusal(slug: &str, by_customer: bool, because: &str) -> Error {
    let error = Error::conflict(format!("the workspace {slug:?} is suspended{because}"));
    match by_customer {
        true => error.hint(format!("`stead workspace resume {slug}` comes first")),
        false => error.hint(format!("an operator resumes it first: `stead workspace resume {slug}`")),
    }
}

/// The reason of a workspace's suspension, to be put behind that it is suspended.
pub fn because(workspace: &Workspace) -> String {
    because_of(workspace.suspension.as_ref().and_then(|suspension| suspension.reason.as_deref()))
}

/// As [`because`], of a reason.
pub fn because_of(reason: Option<&str>) -> String {
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

/// Step `mark`: the record says so, before it is so; no other flow starts the node from then on.
struct Mark;

#[async_trait]
impl Step<Platform> for Mark {
    fn name(&self) -> &'static str {
        "mark"
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let (Asked { params, by, reason }, workflow) = (cx.params()?, cx.workflow());
        let mark = cx.store().write(move |tx| {
            Box::pin(async move {
                let none = || Error::failed(format!("the workspace {:?} has no node any more", params.slug));
                let mut workspace = tx.workspace(params.workspace).await?.ok_or_else(none)?;
                let node = tx.node_of(params.workspace).await?.ok_or_else(none)?;
                if !can_be_suspended(&workspace) {
                    let error = format!("the workspace {:?} is {}", workspace.slug, workspace.state);
                    return Err(Error::conflict(error).hint("suspend it when that is over"));
                }
                // Who asked may have said more since.
                if workspace.suspension.as_ref().is_none_or(|stands| stands.by == Suspender::Customer) {
                    workspace.suspend(by, reason, tx.now());
                }
                // One that is suspended already, by this flow before it died or by another one, was something else before that.
                if workspace.state != WorkspaceState::Suspended {
                    let before = BeforeSuspension { workflow, workspace: workspace.state, node: node.state };
                    workspace.suspension.iter_mut().for_each(|suspension| suspension.before = Some(before));
                    workspace.state = WorkspaceState::Suspended;
                }
                tx.update_workspace(&workspace).await
            })
        });
        mark.await?;
        Ok(serde_json::Value::Null)
    }

    async fn undo(&self, cx: &StepCx<'_, Platform>) -> Result<(), StepError> {
        let (Asked { params, by, .. }, ours) = (cx.params()?, cx.workflow());
        let back = cx.store().write(move |tx| {
            Box::pin(async move {
                let Some(mut workspace) = tx.workspace(params.workspace).await? else { return Ok(()) };
                let Some(suspension) = &mut workspace.suspension else { return Ok(()) };
                match suspension.before.take() {
                    Some(before) if before.workflow != ours => return Ok(()),
                    Some(before) if workspace.state == WorkspaceState::Suspended => workspace.state = before.workspace,
                    _ => {}
                }
                // What an operator has said since stands, until an operator takes it back.
                if suspension.by == by {
                    workspace.suspension = None;
                }
                tx.update_workspace(&workspace).await
            })
        });
        Ok(back.await?)
    }
}

/// What the workspace and its node were before this flow suspended it; none where another one did, or none yet.
async fn before(cx: &StepCx<'_, Platform>, ours: WorkflowId) -> Result<Option<BeforeSuspension>> {
    let params: Params = cx.params()?;
    let workspace = cx.store().read().await?.workspace(params.workspace).await?;
    let before = workspace.and_then(|workspace| workspace.suspension).and_then(|suspension| suspension.before);
    Ok(before.filter(|before| before.workflow == ours))
}

/// Step `stop`: the node's machine does not run any more.
struct Stop;

#[async_trait]
impl Step<Platform> for Stop {
    fn name(&self) -> &'static str {
        "stop"
    }

    /// Taken back, it starts again.
    fn timeout(&self) -> Duration {
        STOPPED_WITHIN + BootTime::LONGEST.sum()
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        stop(cx).await?;
        Ok(json!({"stopped": true}))
    }

    async fn undo(&self, cx: &StepCx<'_, Platform>) -> Result<(), StepError> {
        let Some(before) = before(cx, cx.workflow()).await? else { return Ok(()) };
        let params: Params = cx.params()?;
        let Some(record) = cx.store().read().await?.node_of(params.workspace).await? else { return Ok(()) };
        if record.state != NodeState::Stopped {
            return Ok(());
        }
        if !is_brought(&record) {
            // What is shutting down has to be down before it can be started.
            cx.context().provider(&record.kind)?.stop(&record.mark).await?;
        }
        resume::serve_again(cx).await?;
        let as_before = move |node: &mut Node| {
            node.state = before.node;
            settle(node);
        };
        node::update(cx, as_before).await.map(drop)
    }
}

/// Stops the node that serves, and writes that down before it is so.
pub(super) async fn stop(cx: &StepCx<'_, Platform>) -> Result<(), StepError> {
    let params: Params = cx.params()?;
    let record = platform::node_of(cx.store(), params.workspace).await?;
    let provider = if is_brought(&record) { None } else { Some(cx.context().provider(&record.kind)?) };
    if let Some(provider) = &provider
        && provider.find(&record.mark).await?.is_none()
    {
        let error = Error::failed(format!("the machine of {:?} is gone, though nobody took it down", params.slug));
        return Err(StepError::Fatal(error.hint("`stead node sweep` finds what is there and what is not")));
    }
    cx.progress("stopping the node");
    let session = match provider {
        Some(_) => None,
        None => Some(node::session(cx, &record).await?),
    };
    note(cx, params).await?;
    match (provider, session) {
        (Some(provider), _) => {
            cx.context().close(record.id).await;
            provider.stop(&record.mark).await?;
        }
        (None, Some(mut session)) => {
            node::ask(&mut session, Request::WorkloadStop).await?;
            session.close().await;
            node::update(cx, settle).await?;
        }
        (None, None) => {}
    }
    Ok(())
}

/// Whether the node may run, whatever its state on record, which is written before it is so. A machine of a provider's is not asked:
/// stopping it again costs nothing.
pub(super) fn may_run(node: &Node) -> bool {
    !is_brought(node) || node.state != NodeState::Stopped || node.details.get(STOPPING).is_some()
}

/// Nothing is left to be confirmed: its workload has stopped, or is started anew.
pub(super) fn settle(node: &mut Node) {
    if let Some(details) = node.details.as_object_mut() {
        details.remove(STOPPING);
    }
}

/// Writes down that the node is about to be stopped.
async fn note(cx: &StepCx<'_, Platform>, params: Params) -> Result<()> {
    let fence = cx.fence();
    let note = cx.store().write(move |tx| {
        Box::pin(async move {
            let Some(mut node) = tx.node_of(params.workspace).await? else { return Ok(()) };
            if node.state == NodeState::Stopped {
                return Ok(());
            }
            node.state = NodeState::Stopped;
            if is_brought(&node) {
                node.details[STOPPING] = true.into();
            }
            node.fence = node.fence.max(fence);
            tx.update_node(&node).await?;
            let entry = Entry::new(&params.actor, "node.stop", node.id.to_string());
            entry.detail("workspace", params.slug).append(tx).await
        })
    });
    note.await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};
    use crate::id::{FleetId, WorkspaceId};

    #[test]
    fn a_record_alone_does_not_say_that_a_node_is_stopped() {
        let of = |kind: &str| {
            let mut node = Node::new(&FleetId::mint(), WorkspaceId::new(), kind, kind, SystemClock.now());
            node.state = NodeState::Stopped;
            node
        };
        assert!(may_run(&of("local")), "its machine says whether it runs");
        let mut brought = of("ssh");
        assert!(!may_run(&brought), "it said that it had stopped, and may be away");
        brought.details[STOPPING] = true.into();
        assert!(may_run(&brought));
        settle(&mut brought);
        assert!(!may_run(&brought));
        brought.state = NodeState::Booting;
        assert!(may_run(&brought));
    }
}
