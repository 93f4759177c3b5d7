//! Following a workflow that others run: what its steps come to, until it is over.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::env::Env;
use super::printer::{BAD, BOLD, GOOD};
use super::text::seconds;
use super::work::{about, unfinished};
use crate::api::views::{StepView, WorkflowView};
use crate::client::{Client, watch};
use crate::clock::{Clock, SystemClock};
use crate::id::WorkflowId;
use crate::store::{StepState, WorkflowState};
use crate::workflow::Outcome;
use crate::{Error, Kind, Result};

/// What the API answers where work was begun.
#[derive(Deserialize)]
pub(super) struct Begun {
    pub(super) workflow: WorkflowView,
}

/// Tells what the steps of a workflow come to, until it is over, or waits to be tried again. `name` is what it is about.
///
/// # Errors
/// Fails where the workflow does, and where the server cannot be reached for long; the workflow goes on all the same.
pub(super) async fn follow(env: &Env, client: &Client, name: &str, id: WorkflowId) -> Result<()> {
    let mut last: Option<WorkflowView> = None;
    let mut told = BTreeMap::new();
    let path = id.to_string();
    let watched = watch(client, &path, |view: WorkflowView| {
        for step in &view.steps {
            let is_news = told.insert(step.name.clone(), (step.state.clone(), step.attempt)).as_ref()
                != Some(&(step.state.clone(), step.attempt));
            if let Some(text) = tell(step).filter(|_| is_news) {
                env.printer.say(format_args!("{BOLD}{name:<16}{BOLD:#} {text}"));
            }
        }
        let waits =
            view.state == WorkflowState::Queued.as_str() && view.run_after.is_some_and(|at| at > SystemClock.now());
        let ends = view.over || waits;
        last = Some(view);
        ends
    });
    tokio::select! {
        watched = watched => watched?,
        _ = tokio::signal::ctrl_c() => {
            return Err(Error::failed(format!("{}: no longer watched; the workflow goes on by itself", about(name)))
                .hint(format!("`stead workflow show {id}` tells how it gets on")));
        }
    }
    let Some(last) = last else { return Ok(()) };
    let is = |state: WorkflowState| last.state == state.as_str();
    if is(WorkflowState::Succeeded) {
        return Ok(());
    }
    let error = recorded(&last);
    Err(match () {
        () if is(WorkflowState::Parked) => unfinished(name, id, Outcome::Parked(error)),
        () if is(WorkflowState::Failed) => error.context(about(name)),
        () => unfinished(name, id, Outcome::Postponed(error)),
    })
}

/// An error as a workflow's record has it: the message, and a line for each hint.
fn recorded(workflow: &WorkflowView) -> Error {
    let kind = workflow.error_kind.as_deref().map_or(Kind::Failed, Kind::of_word);
    let mut lines = workflow.error.as_deref().unwrap_or_default().lines();
    let error = Error::new(kind, lines.next().unwrap_or("no reason is recorded"));
    lines.fold(error, |error, line| error.hint(line.trim_start_matches("hint: ")))
}

fn tell(step: &StepView) -> Option<String> {
    let name = &step.name;
    let is = |state: StepState| step.state == state.as_str();
    if is(StepState::Done) {
        let seconds = seconds(step).unwrap_or_default();
        return Some(format!("{GOOD}✓{GOOD:#} {name} ({seconds:.1} s)"));
    }
    if is(StepState::Failed) {
        let error = step.error.as_deref().and_then(|error| error.lines().next()).unwrap_or_default();
        return Some(format!("{BAD}✗{BAD:#} {name}: {error}"));
    }
    let undone = is(StepState::Undone);
    (undone || is(StepState::Running)).then(|| if undone { format!("{name} undone") } else { format!("{name} …") })
}
