//! `check`: what a converge would change, told without changing anything.

use std::time::Duration;

use async_trait::async_trait;

use super::declared::Declared;
use super::{Choice, Params, Platform, node, playbooks};
use crate::store::NodeRole;
use crate::wire::plan::{Status, TaskEvent};
use crate::workflow::{Flow, Step, StepCx, StepError};

/// The flow's name.
pub const KIND: &str = "check";

/// The flow: for those who ask from elsewhere. Whoever stands before the node looks for themselves.
pub fn flow() -> Flow<Platform> {
    Flow { kind: KIND, steps: vec![Box::new(Check)] }
}

struct Check;

#[async_trait]
impl Step<Platform> for Check {
    fn name(&self) -> &'static str {
        "check"
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(60 * 60)
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let (params, choice): (Params, Choice) = (cx.params()?, cx.params()?);
        let declared = Declared::of(cx, &params).await?;
        let plan = playbooks::plan_for(&declared.desired, &declared.workspace, &choice)?;
        let node = node::of(cx, NodeRole::Serving).await?;
        let mut on_event = |event: TaskEvent| {
            if event.status == Status::Started {
                cx.progress(format!("{}: {}", event.play, event.name));
            }
        };
        let files = &declared.desired.files;
        let output = playbooks::check(cx.context(), &node, files, plan, &choice, &mut on_event).await?;
        Ok(serde_json::json!(output))
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}
