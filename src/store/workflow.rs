//! The record of workflows and their steps.

use chrono::TimeDelta;
use serde::Serialize;

use super::text::words;
use crate::clock::Timestamp;
use crate::id::{RevisionId, WorkflowId};

words! {
    /// Where a workflow stands.
    WorkflowState {
        /// Waits for a worker.
        Queued = "queued",
        /// Rolls forward.
        Running = "running",
        /// All steps are done.
        Succeeded = "succeeded",
        /// A step failed; what was done is being undone.
        Unwinding = "unwinding",
        /// A step failed, and all was undone.
        Failed = "failed",
        /// Neither forward nor back: a person has to look at it.
        Parked = "parked",
    }
}

impl WorkflowState {
    /// Whether nothing more will happen by itself.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Parked)
    }
}

words! {
    /// Where a step stands.
    StepState {
        /// Its turn has not come.
        Pending = "pending",
        /// It was begun; after a crash it is run again.
        Running = "running",
        /// It is done.
        Done = "done",
        /// It failed for good, and may have half acted.
        Failed = "failed",
        /// Its undo was begun; after a crash it is run again.
        Undoing = "undoing",
        /// It was undone.
        Undone = "undone",
    }
}

/// A durable sequence of steps.
#[derive(Debug, Clone, PartialEq, Serialize, sqlx::FromRow)]
pub struct WorkflowRecord {
    /// Its id.
    pub id: WorkflowId,
    /// The flow's name (`provision`).
    pub kind: String,
    /// The id, as text, of what it is about. One live workflow per kind and subject.
    pub subject: String,
    /// The flow's input; never a secret.
    #[sqlx(json)]
    pub params: serde_json::Value,
    /// The revision that it is pinned to.
    pub revision_id: Option<RevisionId>,
    /// Where it stands.
    pub state: WorkflowState,
    /// The fence of the last lease; fences grow over the whole fleet.
    #[sqlx(try_from = "i64")]
    pub fence: u64,
    /// The process that holds the lease.
    pub holder: Option<String>,
    /// When the lease runs out unless it is renewed.
    pub lease_until: Option<Timestamp>,
    /// Why it failed or was parked.
    pub error: Option<String>,
    /// The kind of that error ([`crate::Kind::word`]).
    pub error_kind: Option<String>,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// When its record last changed; set by the store.
    pub updated_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// What its worker must be able to do; see [`Placement`].
    pub needs: Option<Ability>,
    /// The host whose worker it is for, once that is known.
    pub host: Option<String>,
    /// When it is tried again, where it waits for that.
    pub run_after: Option<Timestamp>,
    /// The trace that it is a part of, and where in it: a W3C `traceparent`.
    pub trace: Option<String>,
}

words! {
    /// What not every worker can do.
    Ability {
        /// Make nodes on its own host.
        Local = "local",
    }
}

/// Which workers a workflow is for; the default is any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// What the worker must be able to do.
    pub needs: Option<Ability>,
    /// The host that it must be on.
    pub host: Option<String>,
}

/// A worker that looks for workflows.
#[derive(Debug, Clone)]
pub struct Claimant {
    /// The process, as [`WorkflowRecord::holder`] names it.
    pub process: String,
    /// Its host's name.
    pub host: String,
    /// What it can do.
    pub abilities: Vec<Ability>,
    /// The kinds of workflows that it knows.
    pub kinds: Vec<String>,
}

/// A worker that has said nothing for so long is taken to be gone: several times as long as it is between two of its words.
const SEEN: TimeDelta = TimeDelta::seconds(30);

/// A program that runs workflows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct WorkerRecord {
    /// The process, as [`WorkflowRecord::holder`] names it.
    pub process: String,
    /// Its host's name.
    pub host: String,
    /// The version of its program.
    pub version: String,
    /// How many workflows it runs now.
    #[sqlx(try_from = "i64")]
    pub running: u32,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it last said that it lives, by the database's clock.
    pub seen_at: Timestamp,
}

impl WorkerRecord {
    /// Whether it has said lately, within 30 seconds, that it lives.
    pub fn was_seen(&self, now: Timestamp) -> bool {
        now - self.seen_at < SEEN
    }
}

impl WorkflowRecord {
    /// A new workflow, queued; [`super::Tx::insert_workflow`] records it.
    pub fn new(kind: &str, subject: &str, params: serde_json::Value, now: Timestamp) -> Self {
        Self {
            id: WorkflowId::new(),
            kind: kind.to_owned(),
            subject: subject.to_owned(),
            params,
            revision_id: None,
            state: WorkflowState::Queued,
            fence: 0,
            holder: None,
            lease_until: None,
            error: None,
            error_kind: None,
            created_at: now,
            updated_at: now,
            ended_at: None,
            needs: None,
            host: None,
            run_after: None,
            trace: None,
        }
    }
}

/// One step of a workflow.
#[derive(Debug, Clone, PartialEq, Serialize, sqlx::FromRow)]
pub struct StepRecord {
    /// The workflow.
    pub workflow_id: WorkflowId,
    /// 0, 1, … in the order of the flow.
    #[sqlx(try_from = "i64")]
    pub position: u32,
    /// The step's name, unique within the flow.
    pub name: String,
    /// Where it stands.
    pub state: StepState,
    /// How often it was begun.
    #[sqlx(try_from = "i64")]
    pub attempt: u32,
    /// What it gave to later steps.
    #[sqlx(json(nullable))]
    pub output: Option<serde_json::Value>,
    /// Why its last attempt failed.
    pub error: Option<String>,
    /// When it was first begun.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}
