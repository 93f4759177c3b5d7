//! What happens, for whoever watches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::id::WorkflowId;
use crate::wire::plan::TaskEvent;

/// What happened to a workflow or a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventState {
    /// The workflow, or the step, was begun.
    Started,
    /// The step tells how it gets on.
    Progress,
    /// A task of a playbook ended, or one that may take long began.
    Task,
    /// The step failed and is tried again.
    Retrying,
    /// The step, or the whole workflow, is done.
    Done,
    /// The step failed for good; or the workflow did, and all was undone.
    Failed,
    /// The step's undo was begun.
    Undoing,
    /// The step was undone.
    Undone,
    /// The workflow needs a person.
    Parked,
    /// The workflow was stopped between steps, and waits for the next run.
    Interrupted,
}

/// Something that happened.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// The workflow.
    pub workflow: WorkflowId,
    /// The flow's name.
    pub kind: String,
    /// What the workflow is about.
    pub subject: String,
    /// The step; none where it happened to the whole workflow.
    pub step: Option<&'static str>,
    /// The step's place in the flow: 1, 2, …; 0 for the whole workflow.
    pub position: usize,
    /// How many steps the flow has.
    pub steps: usize,
    /// What happened.
    pub state: EventState,
    /// Since the beginning of the step (or of the workflow's run, for the whole workflow).
    #[serde(rename = "elapsed_ms", serialize_with = "millis")]
    pub elapsed: Duration,
    /// More about it: the progress, or the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The task of a playbook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskEvent>,
}

fn millis<S: serde::Serializer>(elapsed: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

/// Watches workflows. Called from the tasks that run them, so it must not block.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn event(&self, event: Event);
}

impl<F: Fn(Event) + Send + Sync> Observer for F {
    fn event(&self, event: Event) {
        self(event);
    }
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn event(&self, _: Event) {}
}

/// Makes a workflow's or a step's events.
#[derive(Clone)]
pub(super) struct Reporter<'a> {
    pub(super) observer: &'a dyn Observer,
    pub(super) workflow: WorkflowId,
    pub(super) kind: Arc<str>,
    pub(super) subject: Arc<str>,
    pub(super) step: Option<&'static str>,
    pub(super) position: usize,
    pub(super) steps: usize,
    pub(super) since: Instant,
}

impl Reporter<'_> {
    pub(super) fn progress(&self, message: String) {
        self.report(EventState::Progress, Some(message));
    }

    pub(super) fn report(&self, state: EventState, message: Option<String>) {
        tracing::debug!(workflow = %self.workflow, step = self.step, ?state, message, "workflow");
        self.observer.event(self.event(state, message));
    }

    pub(super) fn task(&self, task: TaskEvent) {
        self.observer.event(Event { task: Some(task), ..self.event(EventState::Task, None) });
    }

    fn event(&self, state: EventState, message: Option<String>) -> Event {
        Event {
            workflow: self.workflow,
            kind: self.kind.to_string(),
            subject: self.subject.to_string(),
            step: self.step,
            position: self.position,
            steps: self.steps,
            state,
            elapsed: self.since.elapsed(),
            message,
            task: None,
        }
    }

    /// The reporter for one step, whose time begins now.
    pub(super) fn step(&self, name: &'static str, index: usize) -> Self {
        Self { step: Some(name), position: index + 1, since: Instant::now(), ..self.clone() }
    }
}
