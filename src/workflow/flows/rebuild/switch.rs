//! Step `switch`: the workspace's node is the new one from now on.

use async_trait::async_trait;

use super::super::node::MADE_BY;
use super::super::{Params, Platform};
use crate::audit::Entry;
use crate::store::{NodeRole, NodeState, WorkspaceState};
use crate::workflow::{Step, StepCx, StepError};

/// The step. Behind it there is no way back, only on.
pub(super) struct Switch;

#[async_trait]
impl Step<Platform> for Switch {
    fn name(&self) -> &'static str {
        "switch"
    }

    fn commits(&self) -> bool {
        true
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let (params, fence, revision): (Params, _, _) = (cx.params()?, cx.fence(), cx.revision());
        let switch = cx.store().write(move |tx| {
            Box::pin(async move {
                let Some(mut new) = tx.node_as(params.workspace, NodeRole::Incoming).await? else { return Ok(()) };
                let Some(mut old) = tx.node_of(params.workspace).await? else { return Ok(()) };
                (old.role, old.state) = (NodeRole::Outgoing, NodeState::Deprovisioning);
                new.role = NodeRole::Serving;
                // In this order: one of each role.
                for node in [&mut old, &mut new] {
                    node.fence = node.fence.max(fence);
                    tx.update_node(node).await?;
                }
                let now = tx.now();
                for mut secret in tx.secrets(params.workspace).await? {
                    if secret.node_id != Some(old.id) {
                        continue;
                    }
                    if !params.lose_data {
                        secret.node_id = Some(new.id);
                    } else if !secret.is_removed() {
                        secret.lost_at = Some(now);
                    }
                    tx.put_secret(&secret).await?;
                }
                if let Some(mut workspace) = tx.workspace(params.workspace).await? {
                    workspace.state = WorkspaceState::Ready;
                    workspace.revision_id = revision.or(workspace.revision_id);
                    tx.update_workspace(&workspace).await?;
                }
                Entry::new(&params.actor, "node.replace", new.id.to_string())
                    .detail("workspace", params.slug)
                    .detail("replaces", old.id.to_string())
                    .detail("data_lost", params.lose_data)
                    .append(tx)
                    .await
            })
        });
        switch.await?;
        Ok(serde_json::Value::Null)
    }

    /// For a switch that was written although writing it seemed to fail.
    async fn undo(&self, cx: &StepCx<'_, Platform>) -> Result<(), StepError> {
        let (params, fence, workflow): (Params, _, _) = (cx.params()?, cx.fence(), cx.workflow().to_string());
        let back = cx.store().write(move |tx| {
            Box::pin(async move {
                let Some(mut old) = tx.node_as(params.workspace, NodeRole::Outgoing).await? else { return Ok(()) };
                let Some(mut new) = tx.node_of(params.workspace).await? else { return Ok(()) };
                if new.details.get(MADE_BY) != Some(&workflow.into()) {
                    return Ok(());
                }
                (old.role, old.state) = (NodeRole::Serving, NodeState::Degraded);
                new.role = NodeRole::Incoming;
                for node in [&mut new, &mut old] {
                    node.fence = node.fence.max(fence);
                    tx.update_node(node).await?;
                }
                for mut secret in tx.secrets(params.workspace).await? {
                    if secret.node_id == Some(new.id) && !params.lose_data {
                        secret.node_id = Some(old.id);
                        tx.put_secret(&secret).await?;
                    } else if secret.node_id == Some(old.id) && params.lose_data {
                        secret.lost_at = None;
                        tx.put_secret(&secret).await?;
                    }
                }
                if let Some(mut workspace) = tx.workspace(params.workspace).await? {
                    workspace.state = WorkspaceState::Degraded;
                    tx.update_workspace(&workspace).await?;
                }
                Ok(())
            })
        });
        Ok(back.await?)
    }
}
