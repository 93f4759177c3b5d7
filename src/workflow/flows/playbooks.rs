//! Step `playbooks`: the node, made to match its playbooks. One plan, one channel.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::boot::out_of_turn;
use super::{Desired, Params, Platform, node, platform};
use crate::audit::Entry;
use crate::playbook::{self, Report};
use crate::wire::message::{Reply, Request};
use crate::wire::plan::{ApplyOptions, Plan, Status, TaskEvent};
use crate::workflow::{Step, StepCx, StepError};
use crate::{Error, Result};

/// How long the node may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the step gives.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Output {
    /// How many tasks changed something.
    pub(super) changed: u32,
    /// How many found all as it should be.
    pub(super) unchanged: u32,
}

/// The step. What was applied is not taken back: the machine goes with it, or it is what is declared.
pub(super) struct Playbooks;

#[async_trait]
impl Step<Platform> for Playbooks {
    fn name(&self) -> &'static str {
        "playbooks"
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(30 * 60)
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let params: Params = cx.params()?;
        let platform = cx.context();
        let desired = platform.desired(cx.store(), cx.revision()).await?;
        let plan = plan(&desired, &params.slug)?;
        let digest = digest(&plan)?;
        let record = platform::node_of(cx.store(), params.workspace).await?;
        let mut session = platform.session(&record, cx.fence(), PATIENCE).await?;
        let mut report = Report::default();
        let mut on_event = |event: TaskEvent| {
            if event.status == Status::Started {
                cx.progress(format!("{}: {}", event.play, event.name));
            }
            report.take(event);
        };
        let request = Request::Apply { plan: Box::new(plan), options: ApplyOptions::default() };
        let reply = session.request(request, &mut on_event).await?;
        let Reply::Applied { applied } = reply else { return Err(out_of_turn(&reply).into()) };
        let summary = report.finish(applied.summary)?;
        platform.keep(record.id, cx.fence(), session);
        node::update(cx, move |node| node.playbook_digest = Some(digest)).await?;
        if summary.changed > 0 {
            let entry = Entry::new(&params.actor, "node.converge", record.id.to_string())
                .detail("workspace", params.slug.as_str())
                .detail("changed", summary.changed);
            cx.store().write(|tx| Box::pin(async move { entry.append(tx).await })).await?;
        }
        Ok(serde_json::json!(Output { changed: summary.changed, unchanged: summary.unchanged }))
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}

/// The plan of a workspace's playbooks, with the variables that every plan has.
///
/// # Errors
/// Fails with every mistake in the playbooks.
pub fn plan(desired: &Desired, slug: &str) -> Result<Plan> {
    let (workspace, tier) = desired.workspace(slug)?;
    let mut vars = desired.fleet.vars(workspace);
    vars.insert("workspace".into(), slug.into());
    vars.insert("domain".into(), desired.fleet.domain.clone().into());
    vars.insert("secrets".into(), workspace.secrets.clone().into());
    playbook::compile(&desired.files, &tier.playbooks, vars)
}

/// What a node's record keeps of the plan that it was converged to: SHA-256, in hexadecimal.
///
/// # Errors
/// Fails where the plan cannot be written as JSON.
pub fn digest(plan: &Plan) -> Result<String> {
    let json = serde_json::to_vec(plan).map_err(|error| Error::failed("describing a plan").because(error))?;
    Ok(hex::encode(Sha256::digest(json)))
}
