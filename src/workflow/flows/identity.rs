//! Step `identity`: the node makes its age identity; its recipient is recorded, and secrets can be sent from now on.

use std::time::Duration;

use async_trait::async_trait;

use super::{Platform, node};
use crate::ssh::session::out_of_turn;
use crate::store::NodeRole;
use crate::wire::message::{Reply, Request};
use crate::workflow::{Step, StepCx, StepError};

/// How long the node may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// The step, for the node of this role. There is nothing to take back: the machine goes with its identity.
pub(super) struct Identity(pub(super) NodeRole);

#[async_trait]
impl Step<Platform> for Identity {
    fn name(&self) -> &'static str {
        "identity"
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let record = node::of(cx, self.0).await?;
        let mut session = cx.context().session(&record, cx.fence(), PATIENCE).await?;
        let reply = session.request(Request::Identity, &mut |_| {}).await?;
        let Reply::Identity { recipient } = reply else { return Err(out_of_turn(&reply).into()) };
        let output = serde_json::json!({"recipient": recipient});
        node::update_as(cx, self.0, move |node| node.recipient = Some(recipient)).await?;
        cx.context().keep(record.id, cx.fence(), session);
        Ok(output)
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}
