//! What a run told, put together for people.

use crate::wire::plan::{Status, Summary, TaskEvent};
use crate::{Error, Result};

/// Collects a run's events.
#[derive(Debug, Default)]
pub struct Report {
    /// The tasks that changed something (or would), failed, or failed and were ignored, in their order.
    pub notable: Vec<TaskEvent>,
}

impl Report {
    /// Takes an event.
    pub fn take(&mut self, event: TaskEvent) {
        if matches!(event.status, Status::Changed | Status::Failed | Status::Ignored) {
            self.notable.push(event);
        }
    }

    /// The summary, where the run succeeded; else the error of the task that stopped it.
    ///
    /// # Errors
    /// Fails where a task failed.
    pub fn finish(&self, summary: Summary) -> Result<Summary> {
        if summary.succeeded() {
            return Ok(summary);
        }
        let last = self.notable.iter().rfind(|event| event.status == Status::Failed);
        Err(last.map_or_else(|| Error::failed("a task failed"), failure))
    }
}

/// The error that a failed task stands for.
pub fn failure(event: &TaskEvent) -> Error {
    let item = event.item.as_ref().map(|item| format!(" (item {item})")).unwrap_or_default();
    let error = Error::failed(format!("{}: task {:?}{item} failed: {}", event.origin, event.name, event.message));
    event.hints.iter().fold(error, |error, hint| error.hint(hint.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failure_that_stopped_the_run_is_the_error() {
        let event = |name: &str, status| TaskEvent { name: name.into(), status, ..TaskEvent::default() };
        let mut report = Report::default();
        for (name, status) in [("a", Status::Ok), ("b", Status::Ignored), ("c", Status::Failed)] {
            report.take(event(name, status));
        }
        assert_eq!(report.notable.len(), 2);
        let error = report.finish(Summary { failed: 1, ..Summary::default() }).unwrap_err();
        assert!(error.to_string().contains("\"c\""), "{error}");
        assert!(report.finish(Summary::default()).is_ok());
    }
}
