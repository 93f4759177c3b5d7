//! Step `undeclared`: secrets that the node holds and the workspace does not declare any more, forgotten. It comes after the
//! playbooks, so that no unit is told any more to load what is gone.

use async_trait::async_trait;

use super::declared::Declared;
use super::{Params, Platform, forget, platform};
use crate::workflow::{Step, StepCx, StepError};

/// The step. There is nothing to take back: the vault keeps the values.
pub(super) struct Undeclared;

#[async_trait]
impl Step<Platform> for Undeclared {
    fn name(&self) -> &'static str {
        "undeclared"
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let params: Params = cx.params()?;
        let declared = Declared::of(cx, &params).await?.workspace;
        let node = platform::node_of(cx.store(), params.workspace).await?;
        let held = cx.store().read().await?.secrets(params.workspace).await?;
        let mut forgotten = Vec::new();
        for secret in held {
            if secret.node_id != Some(node.id) || declared.secrets.contains(&secret.name) {
                continue;
            }
            cx.progress(format!("forgetting {}", secret.name));
            forgotten.push(secret.name.clone());
            // Declared again, the value that waits in the vault is delivered as the next version, which the node takes.
            let next = secret.version + 1;
            forget::take_away(cx, Some(&node), secret, next, &params.actor).await?;
        }
        Ok(serde_json::json!({"forgotten": forgotten}))
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}
