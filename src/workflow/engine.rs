//! The engine: enqueues workflows, and runs them in this process.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use super::event::Observer;
use super::run::Run;
use super::{Flow, Registry, lease, watched};
use crate::audit::{self, Entry};
use crate::id::{RevisionId, WorkflowId};
use crate::store::{Listed, Placement, Store, Tx, WorkflowRecord, WorkflowState};
use crate::telemetry::traces;
use crate::{Error, Kind, Result};

/// How long a worker leaves a workflow alone that could not be run on.
const TROUBLED: Duration = Duration::from_secs(10);

/// How a workflow's run in this process ended.
#[derive(Debug)]
pub enum Outcome {
    /// All steps are done.
    Succeeded,
    /// A step failed with this error, and all was undone.
    Failed(Error),
    /// It needs a person: something could not be undone, or failed past the point of no return.
    Parked(Error),
    /// It was stopped between steps, and waits for the next run.
    Interrupted,
    /// A step failed with this error past the point of no return, and is tried again later.
    Postponed(Error),
    /// Another living process works on it.
    Busy,
}

/// Runs workflows. Cheap to clone.
pub struct Engine<C> {
    pub(super) inner: Arc<Inner<C>>,
    pub(super) settings: Arc<Settings>,
}

pub(super) struct Inner<C> {
    pub(super) store: Store,
    pub(super) context: Arc<C>,
    pub(super) registry: Registry<C>,
    pub(super) observer: Arc<dyn Observer>,
}

/// What has a default.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) actor: String,
    pub(super) cancellation: CancellationToken,
    pub(super) patient: bool,
    #[cfg(debug_assertions)]
    pub(super) fault: Option<super::Fault>,
}

impl<C> Clone for Engine<C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), settings: self.settings.clone() }
    }
}

impl<C: Send + Sync + 'static> Engine<C> {
    /// An engine over the flows of `registry`, whose steps share `context`. `actor` is who the audit log says did it.
    pub fn new(
        store: Store,
        context: Arc<C>,
        registry: Registry<C>,
        observer: Arc<dyn Observer>,
        actor: impl Into<String>,
    ) -> Self {
        let settings = Settings {
            actor: actor.into(),
            cancellation: CancellationToken::new(),
            patient: false,
            #[cfg(debug_assertions)]
            fault: None,
        };
        Self { inner: Arc::new(Inner { store, context, registry, observer }), settings: Arc::new(settings) }
    }

    /// Stops between steps once `cancellation` is cancelled: a step under way is given ten seconds to end, and is run
    /// again by the next run where it does not.
    #[must_use]
    pub fn with_cancellation(mut self, cancellation: CancellationToken) -> Self {
        Arc::make_mut(&mut self.settings).cancellation = cancellation;
        self
    }

    /// Dies at the point that `fault` names.
    #[cfg(debug_assertions)]
    #[must_use]
    pub fn with_fault(mut self, fault: Option<super::Fault>) -> Self {
        Arc::make_mut(&mut self.settings).fault = fault;
        self
    }

    /// Past the point of no return, a step that failed is tried again later, for a day and more, before its workflow waits for a
    /// person. Without this it waits for one at once, who then is there.
    #[must_use]
    pub fn with_patience(mut self) -> Self {
        Arc::make_mut(&mut self.settings).patient = true;
        self
    }

    /// The same, for somebody else: the audit log names them.
    #[must_use]
    pub fn as_actor(&self, actor: &str) -> Self {
        let mut engine = self.clone();
        Arc::make_mut(&mut engine.settings).actor = actor.to_owned();
        engine
    }

    /// What stops it.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.settings.cancellation
    }

    /// The kinds of workflows that it knows.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.inner.registry.kinds()
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    fn flow(&self, kind: &str) -> Result<&Flow<C>> {
        self.inner.registry.get(kind).ok_or_else(|| {
            Error::failed(format!("this program knows no workflow of the kind {kind:?}"))
                .hint("a newer stead has recorded it; run that one")
        })
    }

    /// Records a workflow to be run. Where one of this kind and subject is live already, that one is returned instead:
    /// its input stands.
    ///
    /// # Errors
    /// Fails where no flow is of this kind, or the store cannot be written.
    pub async fn enqueue(
        &self,
        kind: &str,
        subject: impl Into<String>,
        params: &impl Serialize,
        revision: Option<RevisionId>,
    ) -> Result<WorkflowId> {
        let params =
            serde_json::to_value(params).map_err(|error| Error::failed("a workflow's input").because(error))?;
        let (engine, kind, subject) = (self.clone(), kind.to_owned(), subject.into());
        let write = self.inner.store.write(move |tx| {
            let placement = Placement::default();
            Box::pin(async move { engine.enqueue_in(tx, &kind, &subject, params, revision, placement).await })
        });
        let id = write.await?;
        self.inner.store.tell_of_work();
        Ok(id)
    }

    /// As [`Engine::enqueue`], in a transaction of the caller's: what the workflow is about and the workflow itself are
    /// then recorded together or not at all. `placement` says which workers it is for.
    ///
    /// # Errors
    /// Fails where no flow is of this kind, or the store cannot be written.
    pub async fn enqueue_in(
        &self,
        tx: &mut Tx,
        kind: &str,
        subject: &str,
        params: Value,
        revision: Option<RevisionId>,
        placement: Placement,
    ) -> Result<WorkflowId> {
        match tx.live_workflow(self.flow(kind)?.kind, subject).await? {
            Some(live) => Ok(live.id),
            None => self.enqueue_another_in(tx, kind, subject, params, revision, placement).await,
        }
    }

    /// As [`Engine::enqueue_in`], for flows of which every request is work of its own.
    ///
    /// # Errors
    /// Fails where no flow is of this kind, and where the store lets but one of this kind and subject be live.
    pub async fn enqueue_another_in(
        &self,
        tx: &mut Tx,
        kind: &str,
        subject: &str,
        params: Value,
        revision: Option<RevisionId>,
        placement: Placement,
    ) -> Result<WorkflowId> {
        let kind = self.flow(kind)?.kind;
        let now = tx.now();
        let workflow = WorkflowRecord {
            revision_id: revision,
            needs: placement.needs,
            host: placement.host,
            trace: traces::place(&Span::current()),
            ..WorkflowRecord::new(kind, subject, params, now)
        };
        tx.insert_workflow(&workflow).await?;
        let entry = Entry::new(self.settings.actor.clone(), "workflow.enqueue", subject).detail("kind", kind);
        entry.request(workflow.id.to_string()).append(tx).await?;
        Ok(workflow.id)
    }

    /// Runs a workflow to its end, from wherever it stands. One that is over is not run again; its outcome is told.
    ///
    /// # Errors
    /// Fails where there is no such workflow, its flow is unknown, the store cannot be written, or another process has
    /// taken the workflow over meanwhile. A step's failure is an [`Outcome`].
    pub async fn run(&self, id: WorkflowId) -> Result<Outcome> {
        let outcome = match self.take(id).await? {
            Taken::Leased(workflow) => self.run_claimed(*workflow).await?,
            Taken::Over(outcome) => outcome,
        };
        audit::seal(&self.inner.store).await?;
        Ok(outcome)
    }

    /// Runs a workflow on which this process has just taken the lease.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub(super) async fn run_claimed(&self, workflow: WorkflowRecord) -> Result<Outcome> {
        let (id, fence) = (workflow.id, workflow.fence);
        let ended = self.run_leased(workflow).await;
        if ended.is_err() {
            // This process lives on, so nobody would take the lease over before it runs out. A worker would take it on again at
            // once, and fail as before.
            let patient = self.settings.patient;
            let give_back = self.inner.store.write(move |tx| {
                Box::pin(async move {
                    let again = if patient { Some(tx.shared_now().await? + TROUBLED) } else { None };
                    tx.release_lease(id, fence, again).await
                })
            });
            if let Err(error) = give_back.await {
                tracing::warn!(%id, %error, "giving the lease back");
            }
        }
        ended
    }

    async fn run_leased(&self, mut workflow: WorkflowRecord) -> Result<Outcome> {
        let flow = self.flow(&workflow.kind)?;
        let keeper = lease::Keeper::start(self.inner.store.clone(), workflow.id, workflow.fence);
        let span = watched::run(&mut workflow);
        let run =
            async { Run::new(&self.inner, &self.settings, flow, workflow, keeper.lost.clone()).await?.go().await };
        let ended = run.instrument(span.clone()).await;
        watched::run_ended(&span, flow.kind, &ended);
        ended
    }

    /// Runs workflows side by side, at most `concurrency` at once; the outcomes are in the order of `ids`.
    pub async fn run_all(&self, ids: Vec<WorkflowId>, concurrency: usize) -> Vec<(WorkflowId, Result<Outcome>)> {
        let run = |id| {
            let engine = self.clone();
            async move {
                // A task of its own, so that one that computes does not hold the others up.
                let task = tokio::spawn(async move { engine.run(id).await });
                let ended = task.await.unwrap_or_else(|error| Err(Error::failed("running a workflow").because(error)));
                (id, ended)
            }
        };
        stream::iter(ids).map(run).buffered(concurrency.max(1)).collect().await
    }

    /// Runs what other processes left behind: workflows of known kinds that wait, whose lease has run out, or whose
    /// holder is dead.
    ///
    /// # Errors
    /// Fails where the store cannot be read.
    pub async fn resume(&self, concurrency: usize) -> Result<Vec<(WorkflowId, Result<Outcome>)>> {
        let mut reader = self.inner.store.read().await?;
        let (live, now) = (reader.workflows(Listed::Live).await?, reader.shared_now().await?);
        drop(reader);
        let left = live
            .into_iter()
            .filter(|workflow| !workflow.state.is_over() && lease::is_free(workflow, now))
            .filter(|workflow| self.inner.registry.get(&workflow.kind).is_some())
            .map(|workflow| workflow.id)
            .collect();
        Ok(self.run_all(left, concurrency).await)
    }

    async fn take(&self, id: WorkflowId) -> Result<Taken> {
        let holder = lease::this_process();
        let write = self.inner.store.write(move |tx| {
            Box::pin(async move {
                let missing = || Error::input(format!("there is no workflow {id}"));
                let found = tx.workflow(id).await?.ok_or_else(missing)?;
                let now = tx.shared_now().await?;
                if found.state.is_over() {
                    return Ok(Taken::Over(outcome_of(&found)));
                }
                if !lease::is_free(&found, now) {
                    return Ok(Taken::Over(Outcome::Busy));
                }
                tx.lease_workflow(id, &holder, lease::until(now)).await?;
                watched::taken_on(&found, now);
                Ok(Taken::Leased(Box::new(tx.workflow(id).await?.ok_or_else(missing)?)))
            })
        });
        write.await
    }
}

enum Taken {
    Leased(Box<WorkflowRecord>),
    Over(Outcome),
}

/// The outcome of a workflow that is over, from its record.
pub(super) fn outcome_of(workflow: &WorkflowRecord) -> Outcome {
    let error = || noted(workflow).unwrap_or_else(|| Error::failed("it failed"));
    match workflow.state {
        WorkflowState::Succeeded => Outcome::Succeeded,
        WorkflowState::Failed => Outcome::Failed(error()),
        WorkflowState::Parked => Outcome::Parked(error()),
        WorkflowState::Queued | WorkflowState::Running | WorkflowState::Unwinding => Outcome::Interrupted,
    }
}

const HINT: &str = "\nhint: ";

/// An error as records keep it: one line, and a line for each hint.
pub(super) fn text_of(error: &Error) -> String {
    clean(&error.hints().iter().fold(error.one_line(), |text, hint| text + HINT + hint))
}

/// Text as every database takes it: what nodes and programs say may hold NUL, which PostgreSQL's text does not.
fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// As [`clean`], in all of a value.
pub(super) fn clean_value(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains('\0') => Value::String(clean(&text)),
        Value::Array(items) => items.into_iter().map(clean_value).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (clean(&name), clean_value(value))).collect(),
        other => other,
    }
}

/// Notes why a workflow failed, or waits.
pub(super) fn note(workflow: &mut WorkflowRecord, error: Option<&Error>) {
    workflow.error = error.map(text_of);
    workflow.error_kind = error.map(|error| error.kind().word().to_owned());
}

/// What was noted.
pub(super) fn noted(workflow: &WorkflowRecord) -> Option<Error> {
    let kind = workflow.error_kind.as_deref().map_or(Kind::Failed, Kind::of_word);
    workflow.error.as_deref().map(|text| {
        let mut parts = text.split(HINT);
        let error = Error::new(kind, parts.next().unwrap_or_default());
        parts.fold(error, Error::hint)
    })
}
