//! Steps, and what they see.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::event::Reporter;
use crate::id::{RevisionId, WorkflowId};
use crate::store::{Store, WorkflowRecord};
use crate::wire::plan::TaskEvent;
use crate::{Error, Kind, Result};

/// Why a step failed.
#[derive(Debug)]
pub enum StepError {
    /// It may succeed when it is tried again ([`Step::retry`] says how often).
    Retry(Error),
    /// Trying again would not help.
    Fatal(Error),
}

impl From<Error> for StepError {
    /// The store's database may answer again in a moment; what a step has done is not taken back for that.
    fn from(error: Error) -> Self {
        if error.kind() == Kind::Unavailable { Self::Retry(error) } else { Self::Fatal(error) }
    }
}

impl From<std::io::Error> for StepError {
    fn from(error: std::io::Error) -> Self {
        Self::Fatal(error.into())
    }
}

/// Marks an error as one that may go away.
pub trait OrRetry<T> {
    /// Turns the error into [`StepError::Retry`].
    fn or_retry(self) -> Result<T, StepError>;
}

impl<T, E: Into<Error>> OrRetry<T> for Result<T, E> {
    fn or_retry(self) -> Result<T, StepError> {
        self.map_err(|error| StepError::Retry(error.into()))
    }
}

/// How often, and how soon, a step that failed with [`StepError::Retry`] is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How often the step is tried in all; at least once.
    pub attempts: u32,
    /// The wait before the second attempt; doubled before each further one, and jittered by half.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
}

impl Retry {
    /// Tried once only.
    pub const NEVER: Self = Self { attempts: 1, first_wait: Duration::ZERO, longest_wait: Duration::ZERO };

    /// The wait after the failure of attempt `attempt` (1, 2, …): between half of the full wait and all of it, so that
    /// many workflows that failed at once do not come back at once. None where that was the last attempt.
    pub(super) fn wait(self, attempt: u32, random: u16) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let doublings = attempt.saturating_sub(1).min(20);
        let full = self.first_wait.saturating_mul(1 << doublings).min(self.longest_wait);
        Some(full.mul_f64(0.5 + f64::from(random) / f64::from(u16::MAX) / 2.0))
    }
}

impl Default for Retry {
    /// Three attempts, after about one and two seconds.
    fn default() -> Self {
        Self { attempts: 3, first_wait: Duration::from_secs(1), longest_wait: Duration::from_secs(30) }
    }
}

/// One step of a flow. `C` is what the steps of a program share: providers, connections.
#[async_trait]
pub trait Step<C: Send + Sync + 'static>: Send + Sync {
    /// Its name, unique within the flow and the same in every version of the program.
    fn name(&self) -> &'static str;

    /// How long one attempt may take. A step that takes longer has failed for good.
    fn timeout(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// How often it is tried.
    fn retry(&self) -> Retry {
        Retry::default()
    }

    /// Whether the flow rolls forward only once this step is done.
    fn commits(&self) -> bool {
        false
    }

    /// Does the step. May be run again after it has succeeded or half succeeded, and then does what is left to do. What
    /// it returns is kept, and readable by later steps; never a secret.
    ///
    /// # Errors
    /// Fails as [`StepError`] says.
    async fn run(&self, cx: &StepCx<'_, C>) -> Result<Value, StepError>;

    /// Takes back whatever `run` may have done, which may be nothing, a part, or all. May be run twice.
    ///
    /// # Errors
    /// Fails as [`StepError`] says; the workflow is then parked.
    async fn undo(&self, cx: &StepCx<'_, C>) -> Result<(), StepError>;
}

/// What a step sees.
pub struct StepCx<'a, C> {
    pub(super) context: &'a C,
    pub(super) store: &'a Store,
    pub(super) workflow: &'a WorkflowRecord,
    pub(super) outputs: &'a BTreeMap<String, Value>,
    pub(super) reporter: Reporter<'a>,
    pub(super) attempt: u32,
    pub(super) cancellation: &'a CancellationToken,
}

impl<C> StepCx<'_, C> {
    /// What the program's steps share.
    pub fn context(&self) -> &C {
        self.context
    }

    /// The store.
    pub fn store(&self) -> &Store {
        self.store
    }

    /// The workflow's id.
    pub fn workflow(&self) -> WorkflowId {
        self.workflow.id
    }

    /// The id, as text, of what the workflow is about.
    pub fn subject(&self) -> &str {
        &self.workflow.subject
    }

    /// The revision that the workflow is pinned to.
    pub fn revision(&self) -> Option<RevisionId> {
        self.workflow.revision_id
    }

    /// The lease's fence, for nodes and records.
    pub fn fence(&self) -> u64 {
        self.workflow.fence
    }

    /// How often the step was begun, this time included, over all processes; more than 1 where it may have acted before.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The flow's input.
    ///
    /// # Errors
    /// Fails where the input that was recorded is of another form.
    pub fn params<T: DeserializeOwned>(&self) -> Result<T> {
        typed("the workflow's input", &self.workflow.params)
    }

    /// What the step named `step` gave.
    ///
    /// # Errors
    /// Fails where it gave nothing yet, or something of another form.
    pub fn output<T: DeserializeOwned>(&self, step: &str) -> Result<T> {
        self.try_output(step)?.ok_or_else(|| Error::failed(format!("the step {step} has no output yet")))
    }

    /// What the step named `step` gave, if it was ever done; for undo, which may not know.
    ///
    /// # Errors
    /// Fails where it gave something of another form.
    pub fn try_output<T: DeserializeOwned>(&self, step: &str) -> Result<Option<T>> {
        self.outputs.get(step).map(|value| typed(&format!("the output of the step {step}"), value)).transpose()
    }

    /// Waits until the run is to stop. A step that would take longer than a few seconds then ends early, by failing: what
    /// fails in a run that is to stop counts as interrupted, and is run again by the next one.
    pub async fn cancelled(&self) {
        self.cancellation.cancelled().await;
    }

    /// Tells whoever watches what the step is doing.
    pub fn progress(&self, message: impl Into<String>) {
        self.reporter.progress(message.into());
    }

    /// Tells whoever watches of a playbook's task.
    pub fn task(&self, task: TaskEvent) {
        self.reporter.task(task);
    }
}

fn typed<T: DeserializeOwned>(what: &str, value: &Value) -> Result<T> {
    T::deserialize(value).map_err(|error| {
        Error::failed(format!("{what} is not of the form that this program expects"))
            .because(error)
            .hint("it was recorded by another version of stead; finish it with that one")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_end() {
        let retry = Retry { attempts: 4, first_wait: Duration::from_secs(1), longest_wait: Duration::from_secs(3) };
        let waits: Vec<_> = (1..=4).map(|attempt| retry.wait(attempt, u16::MAX)).collect();
        let seconds = |s| Some(Duration::from_secs(s));
        assert_eq!(waits, [seconds(1), seconds(2), seconds(3), None]);
        assert_eq!(retry.wait(1, 0), Some(Duration::from_millis(500)));
        assert_eq!(Retry::NEVER.wait(1, 7), None);
    }
}
