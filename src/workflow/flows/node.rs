//! Step `node`: the node's record, made before anything of it exists.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::declared::Declared;
use super::{Params, Platform, platform};
use crate::audit::Entry;
use crate::fleet::ProviderKind;
use crate::id::NodeId;
use crate::ssh::NodeSession;
use crate::store::{Node, NodeState, WorkspaceState};
use crate::workflow::{Step, StepCx, StepError};
use crate::{Error, Result};

/// What the step gives.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Output {
    /// The node's id.
    pub(super) node: NodeId,
}

/// The step.
pub(super) struct Record;

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
        let fleet = cx.context().fleet_id.clone();
        let host = (provider.kind == ProviderKind::Local).then(|| cx.context().host.clone());
        let node = cx
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    // A node that is there was recorded by this step before the process died.
                    if let Some(node) = tx.node_of(params.workspace).await? {
                        return Ok(node);
                    }
                    if tx.workspace(params.workspace).await?.is_none_or(|found| found.state == WorkspaceState::Gone) {
                        return Err(Error::failed(format!("the workspace {} is gone", params.slug)));
                    }
                    let node = Node { host, ..Node::new(&fleet, params.workspace, name, kind, tx.now()) };
                    tx.insert_node(&node).await?;
                    if let Some(mut workspace) = tx.workspace(params.workspace).await? {
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
        let Some(node) = cx.store().read().await?.node_of(params.workspace).await? else { return Ok(()) };
        retire(cx, params, node).await
    }
}

/// Writes down that the node is gone and the workspace waits for another.
pub(super) async fn retire(cx: &StepCx<'_, Platform>, params: Params, mut node: Node) -> Result<(), StepError> {
    cx.context().close(node.id).await;
    cx.store()
        .write(move |tx| {
            Box::pin(async move {
                node.state = NodeState::Gone;
                tx.update_node(&node).await?;
                tx.delete_envelopes_of(node.id).await?;
                if let Some(mut workspace) = tx.workspace(params.workspace).await? {
                    workspace.state = WorkspaceState::Pending;
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
pub(super) async fn met(cx: &StepCx<'_, Platform>, session: NodeSession) -> Result<(), StepError> {
    let agent = session.welcome().version.clone();
    let node = update(cx, move |node| {
        node.state = NodeState::Bootstrapping;
        node.agent_version = Some(agent);
        node.verified = true;
    })
    .await?;
    cx.context().keep(node.id, cx.fence(), session);
    Ok(())
}

/// Changes the workspace's node in the record and gives it back as it is then.
pub(super) async fn update(
    cx: &StepCx<'_, Platform>,
    change: impl FnOnce(&mut Node) + Send + 'static,
) -> Result<Node, StepError> {
    let params: Params = cx.params()?;
    let mut node = platform::node_of(cx.store(), params.workspace).await?;
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
