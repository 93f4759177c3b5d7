//! What runs of workflows leave in figures and traces. No text of a step's own goes there but why it failed, and secret values are
//! masked in that.

use std::time::Instant;

use metrics::{counter, histogram};
use serde_json::Value;
use tracing::{Span, info_span};

use super::{Outcome, StepError};
use crate::Result;
use crate::clock::Timestamp;
use crate::store::WorkflowRecord;
use crate::telemetry::traces;

/// What happened to a lease.
#[derive(Debug, Clone, Copy)]
pub(super) enum LeaseEvent {
    Taken,
    Renewed,
    Lost,
}

/// Counts what happened to a lease.
pub(super) fn lease(event: LeaseEvent) {
    let event = match event {
        LeaseEvent::Taken => "taken",
        LeaseEvent::Renewed => "renewed",
        LeaseEvent::Lost => "lost",
    };
    counter!("stead_leases_total", "event" => event).increment(1);
}

/// Counts that a workflow was taken on, whose record before that is given: the lease, and how long it had waited where nobody
/// had run it before.
pub(super) fn taken_on(before: &WorkflowRecord, now: Timestamp) {
    lease(LeaseEvent::Taken);
    if before.fence == 0 {
        let waited = (now - before.created_at).to_std().unwrap_or_default();
        histogram!("stead_workflow_wait_seconds", "flow" => before.kind.clone()).record(waited);
    }
}

/// The span of a workflow's run under one lease. It goes on with the trace that the workflow is a part of; one that is a part of
/// none begins one, and is a part of that from then on.
pub(super) fn run(workflow: &mut WorkflowRecord) -> Span {
    let span = info_span!(
        target: traces::TARGET,
        parent: None,
        "workflow",
        otel.name = %format_args!("workflow {}", workflow.kind),
        otel.kind = "consumer",
        stead.workflow.id = %workflow.id,
        stead.workflow.kind = workflow.kind,
        stead.workflow.subject = workflow.subject,
        stead.workflow.fence = workflow.fence,
    );
    traces::go_on(&span, workflow.trace.as_deref());
    if workflow.trace.is_none() {
        workflow.trace = traces::place(&span);
    }
    span
}

/// Says how a workflow's run ended.
pub(super) fn run_ended(span: &Span, kind: &'static str, ended: &Result<Outcome>) {
    let (outcome, failure) = match ended {
        Ok(Outcome::Succeeded) => ("succeeded", None),
        Ok(Outcome::Failed(error)) => ("failed", Some(error)),
        Ok(Outcome::Parked(error)) => ("parked", Some(error)),
        Ok(Outcome::Postponed(error)) => ("postponed", Some(error)),
        Ok(Outcome::Interrupted | Outcome::Busy) => ("interrupted", None),
        Err(error) => ("given_up", Some(error)),
    };
    counter!("stead_workflow_runs_total", "flow" => kind, "outcome" => outcome).increment(1);
    traces::ended(span, outcome, failure);
}

/// One attempt of a step, or of its undo.
pub(super) struct Attempt {
    /// What the attempt does is a part of this.
    pub(super) span: Span,
    flow: &'static str,
    step: &'static str,
    action: &'static str,
    begun: Instant,
}

impl Attempt {
    pub(super) fn begin(flow: &'static str, step: &'static str, undo: bool, number: u32) -> Self {
        let action = if undo { "undo" } else { "run" };
        let span = info_span!(
            target: traces::TARGET,
            "step",
            otel.name = %format_args!("{} {step}", if undo { "undo" } else { "step" }),
            stead.step.name = step,
            stead.step.action = action,
            stead.step.attempt = number,
        );
        Self { span, flow, step, action, begun: Instant::now() }
    }

    /// Says how it ended; none where it was cut short.
    pub(super) fn end(self, ended: Option<&Result<Value, StepError>>) {
        let (outcome, failure) = match ended {
            Some(Ok(_)) => ("done", None),
            Some(Err(StepError::Retry(error) | StepError::Fatal(error))) => ("failed", Some(error)),
            None => ("interrupted", None),
        };
        let Self { flow, step, action, .. } = self;
        counter!("stead_steps_total", "flow" => flow, "step" => step, "action" => action, "outcome" => outcome)
            .increment(1);
        histogram!("stead_step_seconds", "flow" => flow, "step" => step, "action" => action)
            .record(self.begun.elapsed());
        traces::ended(&self.span, outcome, failure);
    }
}
