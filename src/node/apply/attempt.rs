//! One attempt at a task, for one item: what does it want changed, and how did that end?

use std::io::Write;
use std::time::Duration;

use super::done::Done;
use super::{Doing, Run};
use crate::node::machine::{self, Apart, Change, Inputs};
use crate::node::made::Made;
use crate::node::{contents, guard, systemd, tasks};
use crate::wire::action::{Action, Content};
use crate::wire::expr::Scope;
use crate::wire::plan::{Status, Task};
use crate::{Error, Result};

impl Run<'_> {
    /// Does a task once, for one item.
    pub(super) fn attempt(&mut self, doing: Doing<'_>, scope: &Scope) -> Result<Done> {
        let Doing { play, task, .. } = doing;
        if let Some(done) = self.control(doing, scope)? {
            return Ok(done);
        }
        let (action, inputs) = self.render(task, scope)?;
        let makes = tasks::makes(&action);
        self.made.name(&makes)?;
        let changes = tasks::changes(&action, self.machine, &inputs)?;
        if changes.is_empty() {
            return self.judge(task, scope, Done::new(Status::Ok, ""));
        }
        let messages: Vec<&str> = changes.iter().map(|change| change.message.as_str()).collect();
        let mut done = Done::new(Status::Changed, messages.join("\n"));
        let diffs: Vec<&str> = changes.iter().filter_map(|change| change.diff.as_deref()).collect();
        done.diff = (self.diff && !diffs.is_empty()).then(|| diffs.concat());
        if self.machine.check {
            // What the task would have printed is not known; a condition that needs it leaves the change standing.
            if let Some(condition) = &task.changed_when
                && !self.engine.is_true(condition, scope).unwrap_or(true)
            {
                // It would be done nevertheless.
                changes.iter().for_each(|change| self.machine.foreseen.note(change));
                done.status = Status::Ok;
                return Ok(done);
            }
            self.machine.foresee(&changes);
            for name in &task.notify {
                self.handlers.notify(&play.name, name)?;
            }
            return Ok(done);
        }
        self.protect(task.guard, &changes)?;
        let is_missing = |made: &Made| made.removal(self.machine).is_ok_and(|changes| changes.is_empty());
        // An image's own are its build's, not a node's playbooks'.
        let new: Vec<Made> = makes.into_iter().filter(|made| !self.machine.image && is_missing(made)).collect();
        let mut news = Vec::new();
        for name in &task.notify {
            if self.handlers.notify(&play.name, name)? {
                news.push(name);
            }
        }
        if matches!(action, Action::Package(_) | Action::Command(_) | Action::Download(_) | Action::Archive(_))
            || changes.iter().any(|change| change.needs.is_some())
        {
            let started = Done { diff: None, ..Done::new(Status::Started, done.message.clone()) };
            self.report(doing, scope, &started, Duration::ZERO)?;
        }
        self.has_acted = true;
        if matches!(action, Action::Package(_) | Action::Command(_)) {
            // They may ask systemd anything.
            systemd::catch_up(self.machine)?;
        }
        for change in changes {
            if let Some(content) = &change.needs {
                let controller = &mut self.controller;
                let mut source = |hash: &str, from, to: &mut dyn Write| controller.content(hash, from, to);
                contents::bring(&self.machine.paths, content, &mut source)?;
            }
            change.apply(self.machine, &mut done.output)?;
        }
        self.made.add(&play.name, new)?;
        let done = self.judge(task, scope, done)?;
        if done.status == Status::Ok {
            for name in news {
                self.handlers.done(&play.name, name)?;
            }
        }
        Ok(done)
    }

    /// Has the node remember what was there, where the changes are to be confirmed.
    pub(super) fn protect(&mut self, guard: Option<bool>, changes: &[Change]) -> Result<()> {
        let touches = || changes.iter().flat_map(|change| &change.touches);
        if self.machine.image || !guard.unwrap_or_else(|| touches().any(guard::is_sensitive)) {
            return Ok(());
        }
        if let Some(change) = changes.iter().find(|change| guard.is_some() && change.touches.is_empty()) {
            return Err(Error::failed(format!("the node could not take this back by itself: {}", change.message))
                .hint("leave out `guard: true`, or do it with a `file`, `service` or `firewall` task"));
        }
        self.guard.protect(self.machine, touches())
    }

    /// Lets `failed_when` and `changed_when` decide; without them, a command's exit code.
    fn judge(&self, task: &Task, scope: &Scope, mut done: Done) -> Result<Done> {
        let mut scope = scope.with(&Default::default());
        scope.set("result", &done.result());
        let failed = match &task.failed_when {
            Some(condition) => self.engine.is_true(condition, &scope)?,
            None => done.output.status != 0,
        };
        if failed {
            done.status = Status::Failed;
            let said = done.output.tail();
            let how = match (&task.failed_when, done.output.status) {
                (Some(condition), _) => format!("`failed_when: {condition}` holds"),
                (None, status) => format!("it ended with {status}"),
            };
            done.message = format!("{}: {how}{}{said}", done.message, if said.is_empty() { "" } else { "\n" });
            return Ok(done);
        }
        if let Some(condition) = &task.changed_when {
            done.status = if self.engine.is_true(condition, &scope)? { Status::Changed } else { Status::Ok };
        }
        Ok(done)
    }

    /// Renders every string of a task's action.
    pub(super) fn fields(&self, task: &Task, scope: &Scope) -> Result<Action> {
        let broken = |error| Error::failed("the task's fields do not fit once they are rendered").because(error);
        let fields = serde_json::to_value(&task.action).map_err(broken)?;
        serde_json::from_value(self.engine.render_within(&fields, scope)?).map_err(broken)
    }

    /// The action, rendered, and the content that it names.
    fn render(&self, task: &Task, scope: &Scope) -> Result<(Action, Inputs)> {
        let blob = |hash: &str| {
            self.plan.blobs.get(hash).ok_or_else(|| Error::failed(format!("the plan lacks the content {hash}")))
        };
        let text = |hash: &str| -> Result<Vec<u8>> {
            let text = std::str::from_utf8(&blob(hash)?.0)
                .map_err(|error| Error::failed("the template is no text").because(error))?;
            Ok(self.engine.render(text, scope)?.into_bytes())
        };
        let content = match task.action.content() {
            Some(Content::Raw(hash)) => Some(match self.plan.apart.get(hash) {
                Some(&size) => {
                    let shared = task.loop_.is_some() || self.plan.names_often(hash);
                    machine::Content::Apart(Apart { hash: hash.to_owned(), size, shared })
                }
                None => machine::Content::Held(blob(hash)?.0.clone()),
            }),
            Some(Content::Template(hash)) => Some(machine::Content::Held(text(hash)?)),
            None => None,
        };
        let action = self.fields(task, scope)?;
        let timeout = (task.timeout > 0).then(|| Duration::from_secs(task.timeout.into()));
        Ok((action, Inputs { content, timeout }))
    }
}
