//! `deliver-secret` and `remove-secret`: what came through the API for a workspace's node.
//!
//! The API has sealed the value for the node before anything was written; the flow brings the ciphertext, which is good for an
//! hour, and lets the playbooks make use of it. Every request is a workflow of its own, and only the newest value matters.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use super::secrets::TIME_TO_LIVE;
use super::secrets::hand_over;
use super::{Params, Platform, forget, health, node, platform, playbooks, start};
use crate::Error;
use crate::store::{EnvelopeRecord, NodeRole, SecretRecord, SecretState};
use crate::workflow::{Flow, Retry, Step, StepCx, StepError};

/// The flow that brings a value.
pub const DELIVER: &str = "deliver-secret";
/// The flow that takes one away.
pub const REMOVE: &str = "remove-secret";

/// What the flows are given beside what every flow is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Given {
    /// The workspace, and who asked.
    #[serde(flatten)]
    pub params: Params,
    /// The secret's name.
    pub name: String,
    /// The value's version.
    pub version: u64,
}

/// The flow that brings a value. Nothing of it is taken back: whoever gave the value knows it.
pub fn deliver() -> Flow<Platform> {
    Flow {
        kind: DELIVER,
        steps: vec![
            Box::new(start::Start),
            Box::new(Deliver),
            Box::new(playbooks::Playbooks(NodeRole::Serving)),
            Box::new(health::Health(NodeRole::Serving)),
        ],
    }
}

/// The flow that takes a value away, when the playbooks make no use of it any more.
pub fn remove() -> Flow<Platform> {
    Flow {
        kind: REMOVE,
        steps: vec![
            Box::new(start::Start),
            Box::new(playbooks::Playbooks(NodeRole::Serving)),
            Box::new(Remove),
            Box::new(health::Health(NodeRole::Serving)),
        ],
    }
}

struct Deliver;

#[async_trait]
impl Step<Platform> for Deliver {
    fn name(&self) -> &'static str {
        "deliver"
    }

    /// A node that starts anew is waited for.
    fn retry(&self) -> Retry {
        Retry { attempts: 6, first_wait: Duration::from_secs(2), longest_wait: Duration::from_secs(30) }
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let Given { params, name, version } = cx.params()?;
        let node = platform::node_of(cx.store(), params.workspace).await?;
        let mut reader = cx.store().read().await?;
        let record = reader.secret(params.workspace, &name).await?;
        let now = reader.now();
        let waiting = reader.envelopes(node.id, now).await?;
        drop(reader);
        let Some(record) = record.filter(|record| record.version == version && !record.is_removed()) else {
            return Ok(json!({"delivered": false, "because": "a newer value was given, or it was removed"}));
        };
        if record.state == SecretState::Delivered {
            return Ok(json!({"delivered": true}));
        }
        let mut waiting = waiting.into_iter().filter(|waiting| waiting.name == name && waiting.version == version);
        let EnvelopeRecord { envelope, .. } = waiting.next().ok_or_else(|| {
            Error::failed(format!("the node did not come for {name} in time, and the value is forgotten"))
                .hint("give the value again")
        })?;
        let mut session = node::session(cx, &node).await?;
        hand_over(cx, &params, &node, record, envelope, &mut session).await?;
        cx.context().keep(node.id, cx.fence(), session);
        Ok(json!({"delivered": true}))
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}

/// Takes the value off the node, whether or not the record knows that it is there: a delivery may have died before it was written
/// down.
struct Remove;

#[async_trait]
impl Step<Platform> for Remove {
    fn name(&self) -> &'static str {
        "remove"
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let Given { params, name, .. } = cx.params()?;
        let node = platform::node_of(cx.store(), params.workspace).await?;
        let record = cx.store().read().await?.secret(params.workspace, &name).await?;
        let Some(mut record) = record.filter(SecretRecord::is_removed) else {
            return Ok(json!({"removed": false, "because": "a newer value was given"}));
        };
        record.node_id = Some(node.id);
        let version = record.version;
        forget::take_away(cx, Some(&node), record, version, &params.actor).await?;
        Ok(json!({"removed": true}))
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}
