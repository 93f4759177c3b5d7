//! Step `node`: the node's record, made before anything of it exists.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::declared::Declared;
use super::{Params, Platform, platform};
use crate::audit::Entry;
use crate::fleet::ProviderKind;
use crate::id::NodeId;
use crate::ssh::NodeSession;
use crate::ssh::session::out_of_turn;
use crate::store::{Node, NodeRole, NodeState, WorkspaceState};
use crate::wire::message::{Reply, Request};
use crate::workflow::{OrRetry, Step, StepCx, StepError};
use crate::{Error, Kind, Result};

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// [`Node::details`] says under this key which workflow makes, or made, the node.
pub(super) const MADE_BY: &str = "workflow";

/// What the step gives.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Output {
    /// The node's id.
    pub(super) node: NodeId,
}

/// The step; and what the node that it records is to the workspace.
pub(super) struct Record(pub(super) NodeRole);

#[async_trait]
impl Step<Platform> for Record {
    fn name(&self) -> &'static str {
        "node"
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let params: Params = cx.params()?;
        let declared = Declared::of(cx, &params).await?;
        let provider = declared
            .desired
            .fleet
            .provider(&declared.workspace)
            .ok_or_else(|| Error::failed(format!("no provider is called {:?}", declared.workspace.provider)))?;
        let (name, kind) = (provider.name.clone(), provider.kind.to_string());
        let (fleet, role, workflow) = (cx.context().fleet_id.clone(), self.0, cx.workflow());
        let host = (provider.kind == ProviderKind::Local).then(|| cx.context().host.clone());
        let node = cx
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    // A node that is there was recorded by this step before the process died.
                    if let Some(node) = tx.node_as(params.workspace, role).await? {
                        return Ok(node);
                    }
                    if tx.workspace(params.workspace).await?.is_none_or(|found| found.state == WorkspaceState::Gone) {
                        return Err(Error::failed(format!("the workspace {} is gone", params.slug)));
                    }
                    let mut node = Node { host, role, ..Node::new(&fleet, params.workspace, name, kind, tx.now()) };
                    node.details[MADE_BY] = workflow.to_string().into();
                    tx.insert_node(&node).await?;
                    if role == NodeRole::Serving
                        && let Some(mut workspace) = tx.workspace(params.workspace).await?
                    {
                        workspace.state = WorkspaceState::Provisioning;
                        tx.update_workspace(&workspace).await?;
                    }
                    Entry::new(&params.actor, "node.create", node.id.to_string())
                        .detail("workspace", params.slug.as_str())
                        .detail("mark", node.mark.as_str())
                        .append(tx)
                        .await?;
                    Ok(node)
                })
            })
            .await?;
        Ok(serde_json::json!(Output { node: node.id }))
    }

    async fn undo(&self, cx: &StepCx<'_, Platform>) -> Result<(), StepError> {
        let params: Params = cx.params()?;
        let Some(node) = find(cx, self.0).await? else { return Ok(()) };
        retire(cx, params, node).await
    }
}

/// The workspace's node of this role.
pub(super) async fn find(cx: &StepCx<'_, Platform>, role: NodeRole) -> Result<Option<Node>> {
    let params: Params = cx.params()?;
    cx.store().read().await?.node_as(params.workspace, role).await
}

/// As [`find`], where there must be one.
pub(super) async fn of(cx: &StepCx<'_, Platform>, role: NodeRole) -> Result<Node> {
    let params: Params = cx.params()?;
    match role {
        NodeRole::Serving => platform::node_of(cx.store(), params.workspace).await,
        _ => find(cx, role).await?.ok_or_else(|| Error::failed(format!("{:?} has no {role} node", params.slug))),
    }
}

/// A session with a node; one that does not answer may in a moment.
pub(super) async fn session(cx: &StepCx<'_, Platform>, node: &Node) -> Result<NodeSession, StepError> {
    match cx.context().session(node, cx.fence(), PATIENCE).await {
        Err(error) if error.kind() == Kind::Unreachable => Err(error).or_retry(),
        other => Ok(other?),
    }
}

/// Asks a node for something that it only confirms.
pub(super) async fn ask(session: &mut NodeSession, request: Request) -> Result<()> {
    match session.request(request, &mut |_| {}).await? {
        Reply::Done => Ok(()),
        reply => Err(out_of_turn(&reply)),
    }
}

/// Writes down that the node is gone.
pub(super) async fn retire(cx: &StepCx<'_, Platform>, params: Params, mut node: Node) -> Result<(), StepError> {
    cx.context().close(node.id).await;
    cx.store()
        .write(move |tx| {
            Box::pin(async move {
                node.state = NodeState::Gone;
                tx.update_node(&node).await?;
                tx.delete_envelopes_of(node.id).await?;
                // Without one that serves it waits for another.
                if node.role == NodeRole::Serving
                    && let Some(mut workspace) = tx.workspace(params.workspace).await?
                {
                    workspace.state = WorkspaceState::Pending;
                    workspace.suspension = None;
                    tx.update_workspace(&workspace).await?;
                }
                Entry::new(&params.actor, "node.gone", node.id.to_string())
                    .detail("workspace", params.slug.as_str())
                    .append(tx)
                    .await
            })
        })
        .await?;
    Ok(())
}

/// Writes down that the node's agent was met, at a host key that was known beforehand, and keeps the session for the next step.
pub(super) async fn met(cx: &StepCx<'_, Platform>, role: NodeRole, session: NodeSession) -> Result<(), StepError> {
    let agent = session.welcome().version.clone();
    let node = update_as(cx, role, move |node| {
        node.state = NodeState::Bootstrapping;
        node.agent_version = Some(agent);
        node.verified = true;
    })
    .await?;
    cx.context().keep(node.id, cx.fence(), session);
    Ok(())
}

/// Changes the node that serves in the record and gives it back as it is then.
pub(super) async fn update(
    cx: &StepCx<'_, Platform>,
    change: impl FnOnce(&mut Node) + Send + 'static,
) -> Result<Node, StepError> {
    update_as(cx, NodeRole::Serving, change).await
}

/// As [`update`], for the node of this role.
pub(super) async fn update_as(
    cx: &StepCx<'_, Platform>,
    role: NodeRole,
    change: impl FnOnce(&mut Node) + Send + 'static,
) -> Result<Node, StepError> {
    let mut node = of(cx, role).await?;
    let fence = cx.fence();
    Ok(cx
        .store()
        .write(move |tx| {
            Box::pin(async move {
                change(&mut node);
                node.fence = node.fence.max(fence);
                tx.update_node(&node).await?;
                Ok(node)
            })
        })
        .await?)
}
