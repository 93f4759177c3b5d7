//! One run of one workflow, under a lease: forward, and back where a step fails.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures::FutureExt;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::engine::{Inner, Outcome, Settings, clean_value, note, noted, outcome_of, text_of};
use super::event::{EventState, Reporter};
use super::watched::Attempt;
use super::{Flow, Retry, Step, StepCx, StepError};
use crate::audit::Entry;
use crate::error::Context;
use crate::store::{StepRecord, StepState, WorkflowRecord, WorkflowState};
use crate::{Error, Kind, Result};

/// How long a step under way may still take once the run is cancelled.
const GRACE: Duration = Duration::from_secs(10);

/// How a step that failed past the point of no return is tried again: with its own three attempts each time, some two days
/// pass until a person is asked.
const PATIENCE: Retry =
    Retry { attempts: u32::MAX, first_wait: Duration::from_secs(10), longest_wait: Duration::from_secs(3600) };
const MOST_ATTEMPTS: u32 = 150;

/// Which of a step's two functions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Back,
}

/// How an attempt, or all attempts, of a step ended.
enum Ended {
    Done,
    Failed(Error),
    /// Cancelled; the record says that the step is still to be run.
    Interrupted,
}

/// What the store does not know yet.
#[derive(Clone, Copy, Default)]
struct Unsaved {
    /// The workflow's state.
    state: bool,
    /// A step that has ended.
    step: Option<usize>,
}

pub(super) struct Run<'a, C> {
    engine: &'a Inner<C>,
    settings: &'a Settings,
    flow: &'a Flow<C>,
    workflow: WorkflowRecord,
    steps: Vec<StepRecord>,
    outputs: BTreeMap<String, Value>,
    /// What is written together with the next record: that a step is done, and that the next one is begun, is one write.
    unsaved: Unsaved,
    lost: CancellationToken,
    reporter: Reporter<'a>,
    /// Why the workflow is being undone, where that began in this run; the record keeps its text only.
    failure: Option<Error>,
}

impl<'a, C: Send + Sync + 'static> Run<'a, C> {
    pub(super) async fn new(
        engine: &'a Inner<C>,
        settings: &'a Settings,
        flow: &'a Flow<C>,
        workflow: WorkflowRecord,
        lost: CancellationToken,
    ) -> Result<Self> {
        let mut steps = engine.store.read().await?.steps(workflow.id).await?;
        for (step, position) in flow.steps.iter().zip(0..).skip(steps.len()) {
            steps.push(StepRecord {
                workflow_id: workflow.id,
                position,
                name: step.name().to_owned(),
                state: StepState::Pending,
                attempt: 0,
                output: None,
                error: None,
                started_at: None,
                ended_at: None,
            });
        }
        let outputs = steps.iter().filter_map(|step| Some((step.name.clone(), step.output.clone()?))).collect();
        let reporter = Reporter {
            observer: &*engine.observer,
            workflow: workflow.id,
            kind: workflow.kind.as_str().into(),
            subject: workflow.subject.as_str().into(),
            step: None,
            position: 0,
            steps: steps.len(),
            since: Instant::now(),
        };
        let unsaved = Unsaved::default();
        Ok(Self { engine, settings, flow, workflow, steps, outputs, unsaved, lost, reporter, failure: None })
    }

    pub(super) async fn go(mut self) -> Result<Outcome> {
        let known = self.flow.steps.iter().map(|step| step.name());
        if !self.steps.iter().map(|step| step.name.as_str()).eq(known) {
            let error = Error::failed("its steps are not those that this program knows")
                .hint("another version of stead has begun it; finish it with that one");
            return self.end(WorkflowState::Parked, Some(error)).await;
        }
        self.reporter.report(EventState::Started, None);
        if self.workflow.state != WorkflowState::Unwinding {
            self.workflow.state = WorkflowState::Running;
            self.workflow.run_after = None;
            self.unsaved.state = true;
            for index in 0..self.steps.len() {
                if self.steps[index].state == StepState::Done {
                    continue;
                }
                match self.perform(index, Direction::Forward).await? {
                    Ended::Done => {}
                    Ended::Interrupted => return self.interrupt().await,
                    Ended::Failed(error) if self.is_committed() && self.may_wait(index) => {
                        return self.postpone(index, error).await;
                    }
                    Ended::Failed(error) if self.is_committed() => {
                        let error =
                            error.hint(format!("put it right, then `stead workflow retry {}`", self.workflow.id));
                        return self.end(WorkflowState::Parked, Some(error)).await;
                    }
                    Ended::Failed(error) => {
                        note(&mut self.workflow, Some(&error));
                        self.failure = Some(error);
                        self.workflow.state = WorkflowState::Unwinding;
                        self.unsaved.state = true;
                        break;
                    }
                }
            }
        }
        if self.workflow.state != WorkflowState::Unwinding {
            return self.end(WorkflowState::Succeeded, None).await;
        }
        for index in (0..self.steps.len()).rev() {
            if matches!(self.steps[index].state, StepState::Pending | StepState::Undone) {
                continue;
            }
            match self.perform(index, Direction::Back).await? {
                Ended::Done => {}
                Ended::Interrupted => return self.interrupt().await,
                Ended::Failed(error) => {
                    let first = noted(&self.workflow);
                    let error = error.context(format!("undoing the step {}", self.steps[index].name));
                    let error = match first {
                        Some(first) => error.hint(format!("it was being undone because of: {}", first.one_line())),
                        None => error,
                    };
                    let id = self.workflow.id;
                    let error = error.hint(format!("put it right, then `stead workflow retry {id}`"));
                    return self.end(WorkflowState::Parked, Some(error)).await;
                }
            }
        }
        let error = self.failure.take().or_else(|| noted(&self.workflow));
        self.end(WorkflowState::Failed, error).await
    }

    /// Whether the point of no return is passed.
    fn is_committed(&self) -> bool {
        let done = self.steps.iter().zip(&self.flow.steps).filter(|(record, _)| record.state == StepState::Done);
        done.into_iter().any(|(_, step)| step.commits())
    }

    /// Whether a step that failed past the point of no return is tried again without a person.
    fn may_wait(&self, index: usize) -> bool {
        self.settings.patient && self.steps[index].attempt < MOST_ATTEMPTS
    }

    /// Leaves the workflow to be taken up again later, by whoever is free then.
    async fn postpone(mut self, index: usize, error: Error) -> Result<Outcome> {
        let random = u16::from_ne_bytes(random()?);
        let wait = PATIENCE.wait(self.steps[index].attempt, random).unwrap_or(PATIENCE.longest_wait);
        self.workflow.state = WorkflowState::Queued;
        note(&mut self.workflow, Some(&error));
        self.workflow.run_after = Some(self.engine.store.read().await?.shared_now().await? + wait);
        self.release(None).await?;
        self.reporter.report(EventState::Retrying, Some(error.one_line()));
        Ok(Outcome::Postponed(error))
    }

    /// Runs, or undoes, one step: all its attempts, with a record before and after.
    async fn perform(&mut self, index: usize, direction: Direction) -> Result<Ended> {
        let step: &dyn Step<C> = self.flow.steps[index].as_ref();
        let begun = match direction {
            Direction::Forward => (StepState::Running, EventState::Started),
            Direction::Back => (StepState::Undoing, EventState::Undoing),
        };
        let mut attempts = 0;
        loop {
            if self.settings.cancellation.is_cancelled() {
                return Ok(Ended::Interrupted);
            }
            attempts += 1;
            let now = self.engine.store.clock().now();
            let record = &mut self.steps[index];
            record.state = begun.0;
            if direction == Direction::Forward {
                record.attempt += 1;
                record.started_at.get_or_insert(now);
            }
            self.save(index).await?;
            let reporter = self.reporter.step(step.name(), index);
            if attempts == 1 {
                reporter.report(begun.1, None);
            }
            self.strike(step.name(), direction, false);
            let attempt = self.attempt(index, direction, reporter.clone()).await;
            self.strike(step.name(), direction, true);
            if self.lost.is_cancelled() {
                return Err(self.taken_over());
            }
            let Some(attempt) = attempt else { return Ok(Ended::Interrupted) };
            if let Err(StepError::Retry(error) | StepError::Fatal(error)) = &attempt
                && self.settings.cancellation.is_cancelled()
            {
                // It may have failed because it was told to stop. If not, it fails again in the next run.
                tracing::debug!(step = step.name(), error = error.one_line(), "failed while it was stopped");
                return Ok(Ended::Interrupted);
            }
            let (error, wait) = match attempt {
                Ok(value) => return Ok(self.done(index, direction, value, reporter)),
                Err(StepError::Retry(error)) => {
                    let random = u16::from_ne_bytes(random()?);
                    (error, step.retry().wait(attempts, random))
                }
                Err(StepError::Fatal(error)) => (error, None),
            };
            if wait.is_none() && error.kind() == Kind::Unavailable {
                // Nothing is wrong with the step: what it has done is not taken back because the database was away. Its
                // record says that it is under way, and it is run again.
                return Err(error);
            }
            self.steps[index].error = Some(text_of(&error));
            let Some(wait) = wait else {
                if direction == Direction::Forward {
                    self.steps[index].state = StepState::Failed;
                }
                self.steps[index].ended_at = Some(self.engine.store.clock().now());
                self.save(index).await?;
                reporter.report(EventState::Failed, Some(error.one_line()));
                return Ok(Ended::Failed(error));
            };
            reporter.report(EventState::Retrying, Some(error.one_line()));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.settings.cancellation.cancelled() => {}
                () = self.lost.cancelled() => return Err(self.taken_over()),
            }
        }
    }

    /// One attempt; none where it was cut short.
    async fn attempt(
        &self,
        index: usize,
        direction: Direction,
        reporter: Reporter<'_>,
    ) -> Option<Result<Value, StepError>> {
        let step: &dyn Step<C> = self.flow.steps[index].as_ref();
        let cx = StepCx {
            context: &*self.engine.context,
            store: &self.engine.store,
            workflow: &self.workflow,
            outputs: &self.outputs,
            reporter,
            attempt: self.steps[index].attempt,
            cancellation: &self.settings.cancellation,
        };
        let watched = Attempt::begin(self.flow.kind, step.name(), direction == Direction::Back, cx.attempt);
        let work = async {
            match direction {
                Direction::Forward => step.run(&cx).await,
                Direction::Back => step.undo(&cx).await.map(|()| Value::Null),
            }
        }
        .instrument(watched.span.clone());
        let cut_short = async {
            tokio::select! {
                () = async {
                    self.settings.cancellation.cancelled().await;
                    tokio::time::sleep(GRACE).await;
                } => {}
                () = self.lost.cancelled() => {}
            }
        };
        let ended = tokio::select! {
            ended = tokio::time::timeout(step.timeout(), AssertUnwindSafe(work).catch_unwind()) => Some(match ended {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(StepError::Fatal(Error::failed(format!("the step {} panicked", step.name())))),
                Err(_) => Err(StepError::Fatal(Error::failed(format!(
                    "the step {} took longer than {} s", step.name(), step.timeout().as_secs_f64()
                )))),
            }),
            () = cut_short => None,
        };
        watched.end(ended.as_ref());
        ended
    }

    /// Notes that a step is done, or undone; [`save`](Self::save) of the next one, or the end, writes it.
    fn done(&mut self, index: usize, direction: Direction, value: Value, reporter: Reporter<'_>) -> Ended {
        let now = self.engine.store.clock().now();
        let value = clean_value(value);
        let record = &mut self.steps[index];
        record.ended_at = Some(now);
        let state = match direction {
            Direction::Forward => {
                record.state = StepState::Done;
                record.error = None;
                record.output = Some(value.clone());
                self.outputs.insert(record.name.clone(), value);
                EventState::Done
            }
            Direction::Back => {
                record.state = StepState::Undone;
                EventState::Undone
            }
        };
        self.unsaved.step = Some(index);
        reporter.report(state, None);
        Ended::Done
    }

    /// Writes a step's record, and what was not written before it.
    async fn save(&mut self, step: usize) -> Result<()> {
        let fence = self.workflow.fence;
        let steps: Vec<StepRecord> =
            self.unsaved.step.into_iter().chain([step]).map(|at| self.steps[at].clone()).collect();
        let workflow = self.unsaved.state.then(|| self.workflow.clone());
        let ours = self.engine.store.write(move |tx| {
            Box::pin(async move {
                let mut ours = true;
                if let Some(workflow) = workflow {
                    // The lease's end stays as its keeper has set it.
                    ours = tx.update_workflow_state(&workflow).await?;
                }
                for step in steps {
                    ours = ours && tx.put_step(&step, fence).await?;
                }
                Ok(ours)
            })
        });
        if !ours.await.context("recording the work")? {
            return Err(self.taken_over());
        }
        self.unsaved = Unsaved::default();
        Ok(())
    }

    async fn end(mut self, state: WorkflowState, error: Option<Error>) -> Result<Outcome> {
        self.workflow.state = state;
        note(&mut self.workflow, error.as_ref());
        self.workflow.ended_at = Some(self.engine.store.clock().now());
        let event = match state {
            WorkflowState::Succeeded => EventState::Done,
            WorkflowState::Failed => EventState::Failed,
            _ => EventState::Parked,
        };
        let entry = Entry::new(self.settings.actor.clone(), "workflow.end", &self.workflow.subject)
            .request(self.workflow.id.to_string())
            .detail("kind", self.workflow.kind.clone())
            .outcome(state.as_str());
        self.release(Some(entry)).await?;
        self.reporter.report(event, error.as_ref().map(Error::one_line));
        Ok(match (state, error) {
            (WorkflowState::Failed, Some(error)) => Outcome::Failed(error),
            (WorkflowState::Parked, Some(error)) => Outcome::Parked(error),
            _ => outcome_of(&self.workflow),
        })
    }

    async fn interrupt(mut self) -> Result<Outcome> {
        if self.workflow.state == WorkflowState::Running {
            self.workflow.state = WorkflowState::Queued;
        }
        self.release(None).await?;
        self.reporter.report(EventState::Interrupted, None);
        Ok(Outcome::Interrupted)
    }

    /// Writes the workflow's record and gives the lease back.
    async fn release(&mut self, entry: Option<Entry>) -> Result<()> {
        (self.workflow.holder, self.workflow.lease_until) = (None, None);
        let (workflow, ended) = (self.workflow.clone(), self.unsaved.step.map(|at| self.steps[at].clone()));
        let ours = self.engine.store.write(move |tx| {
            Box::pin(async move {
                let mut ours = true;
                if let Some(step) = ended {
                    ours = tx.put_step(&step, workflow.fence).await?;
                }
                ours = ours && tx.update_workflow(&workflow).await?;
                if let (true, Some(entry)) = (ours, entry) {
                    entry.append(tx).await?;
                }
                Ok(ours)
            })
        });
        if ours.await.context("recording the work")? { Ok(()) } else { Err(self.taken_over()) }
    }

    fn taken_over(&self) -> Error {
        Error::failed(format!("the workflow {} was taken over by another program", self.workflow.id))
            .hint("`stead workflow show` tells how it gets on")
    }

    /// Dies here where the fault under test says so.
    #[cfg(debug_assertions)]
    fn strike(&self, step: &str, direction: Direction, after: bool) {
        use super::FaultPoint;
        let point = match (direction, after) {
            (Direction::Forward, false) => FaultPoint::Before,
            (Direction::Forward, true) => FaultPoint::After,
            (Direction::Back, false) => FaultPoint::UndoBefore,
            (Direction::Back, true) => FaultPoint::UndoAfter,
        };
        if let Some(fault) = &self.settings.fault {
            fault.strike(&self.workflow.kind, step, point);
        }
    }

    #[cfg(not(debug_assertions))]
    fn strike(&self, _: &str, _: Direction, _: bool) {}
}

fn random() -> Result<[u8; 2]> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).map_err(|error| Error::failed(format!("taking randomness: {error}")))?;
    Ok(bytes)
}
