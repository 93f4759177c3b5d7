//! Step `playbooks`: the node, made to match its playbooks. One plan, one channel.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::declared::Declared;
use super::{Choice, Desired, Params, Platform, node};
use crate::audit::Entry;
use crate::fleet::{FileSet, Vars, Workspace};
use crate::playbook::run::{self, Dial, Ran};
use crate::playbook::{self, Report};
use crate::ssh::NodeSession;
use crate::store::{Node, NodeRole};
use crate::wire::plan::{ApplyOptions, Plan, Status, Summary, TaskEvent};
use crate::workflow::{Step, StepCx, StepError};
use crate::{Error, Result};

/// How long the node may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the step gives.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Output {
    /// The tasks, by how they ended.
    #[serde(flatten)]
    pub summary: Summary,
    /// What the node's playbooks made and do not name any more.
    #[serde(default)]
    pub left_over: Vec<String>,
    /// What the node had taken back before, because nobody had confirmed it.
    #[serde(default)]
    pub taken_back: Option<String>,
}

/// The step, for the node of this role. What was applied is not taken back: the machine goes with it, or it is what is declared.
pub(super) struct Playbooks(pub(super) NodeRole);

#[async_trait]
impl Step<Platform> for Playbooks {
    fn name(&self) -> &'static str {
        "playbooks"
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(2 * 60 * 60)
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let params: Params = cx.params()?;
        let choice: Choice = cx.params()?;
        let platform = cx.context();
        let declared = Declared::of(cx, &params).await?;
        let desired = &declared.desired;
        let plan = plan_for(desired, &declared.workspace, &choice)?;
        let digest = choice.is_whole().then(|| plan.digest());
        let record = node::of(cx, self.0).await?;
        let session = platform.session(&record, cx.fence(), PATIENCE).await?;
        let dial = Redial { platform, node: &record, fence: Some(cx.fence()) };
        let mut report = Report::default();
        let mut on_event = |event: TaskEvent| {
            if event.status == Status::Started {
                cx.progress(format!("{}: {}", event.play, event.name));
            }
            cx.task(event.clone());
            report.take(event);
        };
        let contents = |hash: &str| desired.files.open_apart(hash);
        let (session, ran) = run::run(session, plan, choice.options(), &contents, &dial, &mut on_event).await?;
        let summary = report.finish(ran.summary).map_err(|error| explain(error, &ran, &params.slug))?;
        platform.keep(record.id, cx.fence(), session);
        node::update_as(cx, self.0, move |node| {
            if let Some(digest) = digest {
                node.playbook_digest = Some(digest);
            }
        })
        .await?;
        if summary.changed > 0 {
            let entry = Entry::new(&params.actor, "node.converge", record.id.to_string())
                .detail("workspace", params.slug.as_str())
                .detail("changed", summary.changed);
            cx.store().write(|tx| Box::pin(async move { entry.append(tx).await })).await?;
        }
        Ok(serde_json::json!(Output { summary, left_over: ran.left_over, taken_back: ran.taken_back }))
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}

/// Adds to a task's failure what becomes of the node.
fn explain(error: Error, ran: &Ran, slug: &str) -> Error {
    let error = match ran.takes_back {
        Some(seconds) => error.hint(format!(
            "within {seconds} s the node takes back what this run has changed of its sshd, network or packet filter"
        )),
        None => error,
    };
    error.hint(format!("mend it and converge again; `stead converge {slug} --resume` goes on at this very task"))
}

/// New connections for a run.
struct Redial<'a> {
    platform: &'a Platform,
    node: &'a Node,
    fence: Option<u64>,
}

#[async_trait]
impl Dial for Redial<'_> {
    async fn dial(&self, patience: Duration) -> Result<NodeSession> {
        self.platform.dial(self.node, self.fence, patience).await
    }
}

/// Tells what a converge would change on a workspace's node, and changes nothing: it may look while others work.
///
/// # Errors
/// Fails where the playbooks have mistakes, the node cannot be reached, or a task fails.
pub async fn check(
    platform: &Platform,
    node: &Node,
    files: &FileSet,
    plan: Plan,
    choice: &Choice,
    on_event: &mut (dyn FnMut(TaskEvent) + Send),
) -> Result<Output> {
    let options = ApplyOptions { check: true, resume: false, ..choice.options() };
    beside(platform, node, None, files, plan, options, on_event).await
}

/// Runs a plan beside the workflows, under the fence that the node has: for those who look, and where nothing is to be
/// made good after a crash.
///
/// # Errors
/// As [`check`].
pub async fn run_beside(
    platform: &Platform,
    node: &Node,
    files: &FileSet,
    plan: Plan,
    check: bool,
    on_event: &mut (dyn FnMut(TaskEvent) + Send),
) -> Result<Output> {
    let fence = (!check).then_some(node.fence);
    beside(platform, node, fence, files, plan, ApplyOptions { check, ..ApplyOptions::default() }, on_event).await
}

async fn beside(
    platform: &Platform,
    node: &Node,
    fence: Option<u64>,
    files: &FileSet,
    plan: Plan,
    options: ApplyOptions,
    on_event: &mut (dyn FnMut(TaskEvent) + Send),
) -> Result<Output> {
    let session = platform.dial(node, fence, PATIENCE).await?;
    let dial = Redial { platform, node, fence };
    let mut report = Report::default();
    let mut both = |event: TaskEvent| {
        on_event(event.clone());
        report.take(event);
    };
    let contents = |hash: &str| files.open_apart(hash);
    let (_, ran) = run::run(session, plan, options, &contents, &dial, &mut both).await?;
    let summary = report.finish(ran.summary)?;
    Ok(Output { summary, left_over: ran.left_over, taken_back: ran.taken_back })
}

/// The variables of a workspace's plans: the tier's and its own, `workspace`, `domain` and `secrets`.
///
/// # Errors
/// Fails where the workspace is not declared.
pub fn vars(desired: &Desired, slug: &str) -> Result<Vars> {
    let (workspace, _) = desired.workspace(slug)?;
    Ok(vars_of(desired, workspace))
}

fn vars_of(desired: &Desired, workspace: &Workspace) -> Vars {
    let mut vars = desired.fleet.vars(workspace);
    vars.insert("workspace".into(), workspace.slug.clone().into());
    vars.insert("domain".into(), desired.fleet.domain.clone().into());
    vars.insert("secrets".into(), workspace.secrets.clone().into());
    vars
}

/// The plan of a workspace's playbooks, with the variables that every plan has.
///
/// # Errors
/// Fails with every mistake in the playbooks.
pub fn plan(desired: &Desired, slug: &str, choice: &Choice) -> Result<Plan> {
    plan_for(desired, desired.workspace(slug)?.0, choice)
}

/// As [`plan`], of a workspace that may not be declared in the files.
pub(super) fn plan_for(desired: &Desired, workspace: &Workspace, choice: &Choice) -> Result<Plan> {
    let tier = desired.fleet.tier(workspace);
    let tier = tier.ok_or_else(|| Error::failed(format!("no tier is called {:?}", workspace.tier)))?;
    let mut vars = vars_of(desired, workspace);
    vars.extend(choice.vars.clone());
    let names = if choice.playbooks.is_empty() { &tier.playbooks } else { &choice.playbooks };
    let mut plan = playbook::compile_tagged(&desired.files, names, vars, &choice.tags)?;
    plan.whole = choice.is_whole();
    Ok(plan)
}
