//! What a run tells the controller; what is secret is masked here, and nowhere later.

use std::time::Duration;

use serde_json::Value;

use super::done::Done;
use super::{Doing, Run};
use crate::Result;
use crate::node::secrets;
use crate::wire::expr::{Engine, Scope};
use crate::wire::plan::{Status, TaskEvent};

impl Run<'_> {
    /// Tells that changes of an earlier run were taken back, since nobody had confirmed them.
    pub(super) fn report_taken_back(&mut self, what: String) -> Result<()> {
        self.controller.tell(TaskEvent {
            name: "take back what was not confirmed".to_owned(),
            kind: "guard".to_owned(),
            status: Status::Changed,
            message: what,
            ..TaskEvent::default()
        })
    }

    /// Learns the values of the node's secrets, once and only where something is told that could hold one: to decrypt them
    /// takes longer than a whole run that finds all as it should be.
    fn learn_secrets(&mut self, doing: Doing<'_>, done: &Done) -> Result<()> {
        let is_told = !done.message.is_empty() || done.diff.is_some() || !done.hints.is_empty();
        // What a command has said may come again as an item, or in a name.
        let may_tell = self.has_acted && (doing.item.is_some() || Engine::is_template(&doing.task.name));
        if !self.knows_secrets && (is_told || may_tell) {
            self.knows_secrets = true;
            secrets::values(self.machine)?.iter().for_each(|value| self.redactor.learn(value));
        }
        Ok(())
    }

    /// Tells how a task, or one item of it, ended.
    pub(super) fn report(&mut self, doing: Doing<'_>, scope: &Scope, done: &Done, elapsed: Duration) -> Result<()> {
        let Doing { play, task, handler, item } = doing;
        self.learn_secrets(doing, done)?;
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
        self.controller.tell(event)
    }
}
