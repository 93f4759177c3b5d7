//! Step `clear`: what an abandoned rebuild has left beside the node that serves, gone.

use std::time::Duration;

use async_trait::async_trait;

use super::super::{Params, Platform, deprovision, machine, node};
use crate::store::{Node, NodeRole};
use crate::workflow::{Step, StepCx, StepError};

/// The step. There is nothing to take back: what was left was nobody's.
pub(super) struct Clear;

#[async_trait]
impl Step<Platform> for Clear {
    fn name(&self) -> &'static str {
        "clear"
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(10 * 60)
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let params: Params = cx.params()?;
        let nodes = cx.store().read().await?.all_nodes_of(params.workspace).await?;
        let mut cleared = Vec::new();
        for left in nodes.into_iter().filter(|node| node.role != NodeRole::Serving) {
            cx.progress(format!("clearing away {}, which an earlier rebuild left", left.id));
            cleared.push(left.id.to_string());
            clear(cx, left).await?;
        }
        Ok(serde_json::json!({"cleared": cleared}))
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}

/// Wipes and destroys a node that serves nobody.
async fn clear(cx: &StepCx<'_, Platform>, left: Node) -> Result<(), StepError> {
    if let Err(error) = deprovision::wipe(cx, &left).await {
        tracing::warn!(node = %left.id, error = error.one_line(), "the node did not wipe itself");
    }
    machine::destroy(cx, &left).await?;
    node::retire(cx, cx.params()?, left).await
}
