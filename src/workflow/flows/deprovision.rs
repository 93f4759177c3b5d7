//! `deprovision`: from a node to its record.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    Params, Platform, is_brought, machine, node, provision, rebuild, resume, rotate_identity, secrets, suspend,
};
use crate::audit::Entry;
use crate::provider::MachineState;
use crate::ssh::session::out_of_turn;
use crate::store::{Node, NodeRole, NodeState, WorkflowState, WorkspaceState};
use crate::wire::message::{Reply, Request};
use crate::workflow::{Flow, Step, StepCx, StepError};
use crate::{Error, Result};

/// The flow's name.
pub const KIND: &str = "deprovision";

/// How long a node that runs may take to answer before it is destroyed without its help.
const PATIENCE: Duration = Duration::from_secs(10);

/// The flow. Once the node is marked, there is no way back, only on.
pub fn flow() -> Flow<Platform> {
    const ALL: Doomed = Doomed::All;
    Flow { kind: KIND, steps: vec![Box::new(Mark), Box::new(Wipe(ALL)), Box::new(Destroy(ALL)), Box::new(Retire(ALL))] }
}

/// Which of a workspace's nodes are destroyed.
#[derive(Clone, Copy)]
pub(super) enum Doomed {
    /// All, those of an unfinished rebuild included.
    All,
    /// The one that another has replaced.
    Outgoing,
}

impl Doomed {
    async fn nodes(self, cx: &StepCx<'_, Platform>) -> Result<Vec<Node>> {
        let params: Params = cx.params()?;
        let mut nodes = cx.store().read().await?.all_nodes_of(params.workspace).await?;
        nodes.retain(|node| matches!(self, Self::All) || node.role == NodeRole::Outgoing);
        Ok(nodes)
    }
}

/// Whether the node's machine is somebody's who says that it is gone for good.
fn is_gone(cx: &StepCx<'_, Platform>, node: &Node) -> Result<bool> {
    Ok(is_brought(node) && cx.params::<Params>()?.gone)
}

/// Step `mark`: the record says what is about to happen, before it happens.
struct Mark;

#[async_trait]
impl Step<Platform> for Mark {
    fn name(&self) -> &'static str {
        "mark"
    }

    fn commits(&self) -> bool {
        true
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let params: Params = cx.params()?;
        let nodes = Doomed::All.nodes(cx).await?;
        if nodes.is_empty() {
            return Ok(serde_json::Value::Null);
        }
        cx.store()
            .write(move |tx| {
                Box::pin(async move {
                    for mut node in nodes.into_iter().filter(|node| node.state != NodeState::Deprovisioning) {
                        node.state = NodeState::Deprovisioning;
                        tx.update_node(&node).await?;
                        Entry::new(&params.actor, "node.destroy", node.id.to_string())
                            .detail("workspace", params.slug.as_str())
                            .append(tx)
                            .await?;
                    }
                    if let Some(mut workspace) = tx.workspace(params.workspace).await? {
                        workspace.state = WorkspaceState::Deprovisioning;
                        tx.update_workspace(&workspace).await?;
                    }
                    Ok(())
                })
            })
            .await?;
        Ok(serde_json::Value::Null)
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}

/// Step `wipe`: the node destroys its own identity and secrets. A node that is dead cannot, and goes all the same.
pub(super) struct Wipe(pub(super) Doomed);

#[async_trait]
impl Step<Platform> for Wipe {
    fn name(&self) -> &'static str {
        "wipe"
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let mut output = serde_json::json!({"wiped": false});
        for node in self.0.nodes(cx).await? {
            if is_gone(cx, &node)? {
                output = serde_json::json!({"wiped": false, "why_not": "the machine is gone"});
                continue;
            }
            let outcome = wipe(cx, &node).await;
            if let Err(error) = &outcome {
                cx.progress(format!("not wiped by itself: {error}"));
                tracing::warn!(node = %node.id, error = error.one_line(), "the node did not wipe itself");
            }
            let why_not = outcome.as_ref().err().map(Error::one_line);
            output = serde_json::json!({"wiped": outcome.is_ok(), "why_not": why_not});
        }
        Ok(output)
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}

/// Writes down that the workspace is gone.
async fn end(cx: &StepCx<'_, Platform>, params: Params) -> Result<()> {
    let write = cx.store().write(move |tx| {
        Box::pin(async move {
            let Some(mut workspace) = tx.workspace(params.workspace).await? else { return Ok(()) };
            if workspace.state == WorkspaceState::Gone {
                return Ok(());
            }
            workspace.state = WorkspaceState::Gone;
            workspace.suspension = None;
            tx.update_workspace(&workspace).await?;
            tx.revoke_tokens_of(workspace.id).await?;
            // What was known of its agents is of no use to anybody once they are gone; the entry below stands for all of them.
            tx.delete_agents_of(workspace.id).await?;
            // One that is parked would wait for ever for a person.
            for kind in [provision::KIND, rotate_identity::KIND, rebuild::KIND, suspend::KIND, resume::KIND] {
                if let Some(mut left) = tx.live_workflow(kind, &workspace.id.to_string()).await? {
                    left.state = WorkflowState::Failed;
                    left.error = Some("its workspace is gone".into());
                    left.ended_at = Some(tx.now());
                    tx.update_workflow(&left).await?;
                }
            }
            Entry::new(&params.actor, "workspace.gone", workspace.id.to_string())
                .detail("slug", params.slug)
                .append(tx)
                .await
        })
    });
    write.await
}

/// Has a node that runs destroy its own identity and secrets.
pub(super) async fn wipe(cx: &StepCx<'_, Platform>, node: &Node) -> Result<()> {
    let platform = cx.context();
    if !is_brought(node) {
        let machine = platform.provider(&node.kind)?.find(&node.mark).await?;
        if machine.is_none_or(|machine| machine.state != MachineState::Running) {
            return Err(Error::failed("it does not run"));
        }
    }
    let mut session = platform.session(node, cx.fence(), PATIENCE).await?;
    match session.request(Request::Wipe { outlived: is_brought(node) }, &mut |_| {}).await? {
        Reply::Done => Ok(()),
        reply => Err(out_of_turn(&reply)),
    }
}

/// Step `machine`: the machine and all that was taken for it, gone.
pub(super) struct Destroy(pub(super) Doomed);

#[async_trait]
impl Step<Platform> for Destroy {
    fn name(&self) -> &'static str {
        match self.0 {
            Doomed::All => "machine",
            Doomed::Outgoing => "old-machine",
        }
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(5 * 60)
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        for node in self.0.nodes(cx).await? {
            match is_gone(cx, &node)? {
                true => cx.context().close(node.id).await,
                false => machine::destroy(cx, &node).await?,
            }
        }
        Ok(serde_json::Value::Null)
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}

/// Step `record`: what remains.
pub(super) struct Retire(pub(super) Doomed);

#[async_trait]
impl Step<Platform> for Retire {
    fn name(&self) -> &'static str {
        match self.0 {
            Doomed::All => "record",
            Doomed::Outgoing => "old-record",
        }
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        for record in self.0.nodes(cx).await? {
            let params: Params = cx.params()?;
            secrets::take_back(cx, &params, &record).await?;
            node::retire(cx, params, record).await?;
        }
        let params: Params = cx.params()?;
        if params.ends {
            end(cx, params).await?;
        }
        Ok(serde_json::Value::Null)
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}
