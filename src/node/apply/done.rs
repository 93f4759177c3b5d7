//! How a task, or one item of it, ended.

use serde_json::{Value, json};

use crate::Error;
use crate::node::exec::Output;
use crate::wire::plan::Status;

/// How one task, or one item of it, ended.
pub(super) struct Done {
    pub(super) status: Status,
    pub(super) message: String,
    pub(super) hints: Vec<String>,
    pub(super) diff: Option<String>,
    pub(super) output: Output,
}

impl Done {
    pub(super) fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), hints: Vec::new(), diff: None, output: Output::default() }
    }

    pub(super) fn failed(error: &Error) -> Self {
        Self { hints: error.hints().to_vec(), ..Self::new(Status::Failed, error.one_line()) }
    }

    /// The result, as `register` keeps it and as `changed_when` and `failed_when` see it.
    pub(super) fn result(&self) -> Value {
        json!({
            "changed": self.status == Status::Changed,
            "failed": matches!(self.status, Status::Failed | Status::Ignored),
            "skipped": self.status == Status::Skipped,
            "message": self.message,
            "rc": self.output.status,
            "stdout": self.output.stdout.trim_end_matches('\n'),
            "stderr": self.output.stderr.trim_end_matches('\n'),
        })
    }
}

/// A loop's status is that of the item that matters most.
pub(super) fn worse(a: Status, b: Status) -> Status {
    let rank = |status| match status {
        Status::Started | Status::Skipped => 0,
        Status::Ok => 1,
        Status::Changed => 2,
        Status::Ignored => 3,
        Status::Failed => 4,
    };
    if rank(b) > rank(a) { b } else { a }
}
