//! Step `old`: the node that serves is there, and answers. Before anything is made: a dead one has nothing to hand over.

use std::time::Duration;

use async_trait::async_trait;

use super::super::{Params, Platform, is_brought, node, start, suspend};
use crate::Error;
use crate::store::NodeRole;
use crate::workflow::{Retry, Step, StepCx, StepError};

/// The step. There is nothing to take back.
pub(super) struct Old;

#[async_trait]
impl Step<Platform> for Old {
    fn name(&self) -> &'static str {
        "old"
    }

    fn timeout(&self) -> Duration {
        start::Start.timeout()
    }

    fn retry(&self) -> Retry {
        Retry::NEVER
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let params: Params = cx.params()?;
        let record = node::of(cx, NodeRole::Serving).await?;
        if is_brought(&record) {
            let error = Error::input(format!("the machine of {:?} was brought, and there is no other", params.slug));
            return Err(StepError::Fatal(error.hint("set it up anew, then `stead down` and `stead up`")));
        }
        if let Some(workspace) = cx.store().read().await?.workspace(params.workspace).await? {
            suspend::refuse(&workspace)?;
        }
        if params.lose_data {
            return Ok(serde_json::json!({"lost": true}));
        }
        let way_out = |error: Error| {
            error.context("the node that is to be replaced does not answer").hint(format!(
                "where it is dead for good: `stead node rebuild {} --lose-data` replaces it without what is on it",
                params.slug
            ))
        };
        match start::Start.run(cx).await {
            Err(StepError::Fatal(error)) => Err(StepError::Fatal(way_out(error))),
            Err(StepError::Retry(error)) => Err(StepError::Retry(way_out(error))),
            answers => answers,
        }
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}
