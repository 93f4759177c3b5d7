//! The method by which every flow is tested: every step run twice, every step failing in turn, every undo run twice; and
//! afterwards nothing is left. Only in builds with debug assertions.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::{Engine, Flow, Outcome, Retry, Step, StepCx, StepError};
use crate::Error;
use crate::id::RevisionId;

/// Makes a flow whose every step, and every undo, acts twice.
pub fn twice<C: Send + Sync + 'static>(flow: Flow<C>) -> Flow<C> {
    wrap(flow, |_, inner| Box::new(Twice(inner)))
}

/// Makes a flow whose step `index` fails: before it acts, or after it has acted.
pub fn failing<C: Send + Sync + 'static>(flow: Flow<C>, index: usize, after: bool) -> Flow<C> {
    wrap(flow, |at, inner| if at == index { Box::new(Failing { inner, after }) } else { inner })
}

fn wrap<C: Send + Sync + 'static>(
    flow: Flow<C>,
    with: impl Fn(usize, Box<dyn Step<C>>) -> Box<dyn Step<C>>,
) -> Flow<C> {
    let steps = flow.steps.into_iter().enumerate().map(|(index, step)| with(index, step)).collect();
    Flow { kind: flow.kind, steps }
}

/// Fails every step of a flow in turn, before and after it acts, with every step and every undo run twice; after each
/// such run `is_clean` must find nothing left. Then runs the flow to success, every step twice.
///
/// `flow` makes the flow, `engine` an engine with that flow alone over a store that may be the same each time, `params`
/// the input, `revision` what it is pinned to. Steps from the first one that [`Step::commits`] on are not failed: past it a flow does not go back.
///
/// # Panics
/// Panics where a run does not end as it should.
pub async fn exercise<C: Send + Sync + 'static>(
    flow: impl Fn() -> Flow<C>,
    engine: impl Fn(Flow<C>) -> Engine<C>,
    subject: &str,
    params: &Value,
    revision: Option<RevisionId>,
    is_clean: impl AsyncFn(),
) {
    let made = flow();
    let committed = made.steps.iter().position(|step| step.commits()).map_or(made.steps.len(), |at| at + 1);
    for index in 0..committed {
        for after in [false, true] {
            let engine = engine(failing(twice(flow()), index, after));
            let id = engine.enqueue(made.kind, subject, params, revision).await.expect("enqueued");
            match engine.run(id).await.expect("the run itself does not fail") {
                Outcome::Failed(_) => is_clean().await,
                other => panic!("step {index} failed ({after}), and the workflow ended as {other:?}"),
            }
        }
    }
    let engine = engine(twice(flow()));
    let id = engine.enqueue(made.kind, subject, params, revision).await.expect("enqueued");
    match engine.run(id).await.expect("the run itself does not fail") {
        Outcome::Succeeded => {}
        other => panic!("with every step run twice the workflow ended as {other:?}"),
    }
}

struct Twice<C>(Box<dyn Step<C>>);

#[async_trait]
impl<C: Send + Sync + 'static> Step<C> for Twice<C> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn timeout(&self) -> Duration {
        self.0.timeout() * 2
    }

    fn retry(&self) -> Retry {
        self.0.retry()
    }

    fn commits(&self) -> bool {
        self.0.commits()
    }

    async fn run(&self, cx: &StepCx<'_, C>) -> Result<Value, StepError> {
        self.0.run(cx).await?;
        self.0.run(cx).await
    }

    async fn undo(&self, cx: &StepCx<'_, C>) -> Result<(), StepError> {
        self.0.undo(cx).await?;
        self.0.undo(cx).await
    }
}

struct Failing<C> {
    inner: Box<dyn Step<C>>,
    after: bool,
}

#[async_trait]
impl<C: Send + Sync + 'static> Step<C> for Failing<C> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn timeout(&self) -> Duration {
        self.inner.timeout()
    }

    async fn run(&self, cx: &StepCx<'_, C>) -> Result<Value, StepError> {
        if self.after {
            self.inner.run(cx).await?;
        }
        Err(StepError::Fatal(Error::failed("a fault under test")))
    }

    async fn undo(&self, cx: &StepCx<'_, C>) -> Result<(), StepError> {
        self.inner.undo(cx).await
    }
}
