//! What a run tells the controller; what is secret is masked here, and nowhere later.

use std::time::Duration;

use serde_json::Value;

use super::done::Done;
use super::{Doing, Run};
use crate::Result;
use crate::wire::expr::Scope;
use crate::wire::plan::{Status, TaskEvent};

impl Run<'_> {
    /// Tells that changes of an earlier run were taken back, since nobody had confirmed them.
    pub(super) fn report_taken_back(&mut self, what: String) -> Result<()> {
        (self.on_event)(TaskEvent {
            name: "take back what was not confirmed".to_owned(),
            kind: "guard".to_owned(),
            status: Status::Changed,
            message: what,
            ..TaskEvent::default()
        })
    }

    /// Tells how a task, or one item of it, ended.
    pub(super) fn report(&mut self, doing: Doing<'_>, scope: &Scope, done: &Done, elapsed: Duration) -> Result<()> {
        let Doing { play, task, handler, item } = doing;
        let hide = |text: &str| self.redactor.apply(text);
        let message = match (task.sensitive, done.status) {
            (false, _) => hide(&done.message),
            (true, Status::Failed | Status::Ignored) => {
                "it failed; the task is sensitive, so no more is told".to_owned()
            }
            (true, _) => String::new(),
        };
        let shown = |item: &Value| item.as_str().map_or_else(|| item.to_string(), str::to_owned);
        let event = TaskEvent {
            task: task.id,
            play: play.name.clone(),
            name: hide(&self.engine.render(&task.name, scope).unwrap_or_else(|_| task.name.clone())),
            kind: task.action.kind().to_owned(),
            origin: task.origin.clone(),
            item: item.filter(|_| !task.sensitive).map(|item| hide(&shown(item))),
            handler,
            status: done.status,
            message,
            hints: done.hints.iter().map(|hint| hide(hint)).collect(),
            diff: done.diff.as_deref().filter(|_| !task.sensitive).map(hide),
            elapsed_ms: elapsed.as_millis().try_into().unwrap_or(u64::MAX),
        };
        (self.on_event)(event)
    }
}
