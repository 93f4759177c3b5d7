//! A task: its condition's scope, its loop's items, its retries, and what is counted and remembered of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::done::{Done, worse};
use super::{Doing, Run, Walk};
use crate::node::vars;
use crate::wire::expr::Scope;
use crate::wire::plan::{Loop, Status, Task};
use crate::{Error, Result};

impl Run<'_> {
    /// Does a task, for each of its items.
    pub(super) fn task(&mut self, doing: Doing<'_>, scope: &Scope) -> Result<Walk> {
        let task = doing.task;
        if let Some((status, set)) = self.journal.replayed(task.id) {
            self.registered.extend(set);
            self.count(status);
            self.name_task(doing, scope)?;
            return Ok(if status == Status::Failed { Walk::Failed } else { Walk::On });
        }
        let scope = scope.with(&self.registered);
        let (status, result) = match self.items(task, &scope) {
            Ok(None) => {
                let done = self.item(doing, &scope)?;
                (done.status, done.result())
            }
            Err(error) => {
                let mut done = Done::failed(&error);
                ignore(task, &mut done);
                self.report(doing, &scope, &done, Duration::ZERO)?;
                (done.status, done.result())
            }
            Ok(Some(items)) => self.each(doing, &scope, items)?,
        };
        let mut set = std::mem::take(&mut self.set);
        set.extend(task.register.clone().map(|name| (name, result)));
        self.registered.extend(set.clone());
        self.count(status);
        // Handlers are remembered by their own record.
        if !doing.handler {
            self.journal.note(task, status, set)?;
        }
        Ok(match status {
            Status::Failed => Walk::Failed,
            _ if self.reboot.is_some() => Walk::Reboot,
            _ => Walk::On,
        })
    }

    fn count(&mut self, status: Status) {
        let count = match status {
            Status::Changed => &mut self.summary.changed,
            Status::Skipped => &mut self.summary.skipped,
            Status::Failed => &mut self.summary.failed,
            Status::Ignored => &mut self.summary.ignored,
            Status::Ok | Status::Started => &mut self.summary.unchanged,
        };
        *count += 1;
    }

    /// Does a task for one item after the other, until one fails.
    fn each(&mut self, doing: Doing<'_>, scope: &Scope, items: Vec<Value>) -> Result<(Status, Value)> {
        let mut results = Vec::new();
        let mut overall = Status::Skipped;
        for item in items {
            let mut scope = scope.with(&Default::default());
            scope.set("item", &item);
            let done = self.item(Doing { item: Some(&item), ..doing }, &scope)?;
            let mut result = done.result();
            result["item"] = item;
            results.push(result);
            overall = worse(overall, done.status);
            if done.status == Status::Failed {
                break;
            }
        }
        let result = json!({
            "changed": overall == Status::Changed,
            "failed": matches!(overall, Status::Failed | Status::Ignored),
            "skipped": overall == Status::Skipped,
            "results": results,
        });
        Ok((overall, result))
    }

    /// The items of a task's loop; `None` for a task without one.
    pub(super) fn items(&self, task: &Task, scope: &Scope) -> Result<Option<Vec<Value>>> {
        if task.loop_.is_none() {
            return Ok(None);
        }
        // Those that name the item are not needed for the list of items.
        let (scope, _) = &self.with_vars(task, scope);
        let value = match &task.loop_ {
            None => return Ok(None),
            Some(Loop::Items(items)) => self.engine.value_within(&Value::Array(items.clone()), scope)?,
            Some(Loop::Expression(expression)) => self.engine.value(expression, scope)?,
        };
        match value {
            Value::Array(items) => Ok(Some(items)),
            other => Err(Error::failed(format!("`loop` needs a list, and got {other}"))),
        }
    }

    /// Does a task for one item, as often as `retries` allows, and reports.
    fn item(&mut self, doing: Doing<'_>, scope: &Scope) -> Result<Done> {
        let started = Instant::now();
        let (scope, unresolved) = &self.with_vars(doing.task, scope);
        let when = doing.task.when.as_ref();
        let is_wanted = when.map_or(Ok(true), |when| self.engine.is_true(when, scope));
        let mut done = match (is_wanted, unresolved) {
            (Ok(false), _) => {
                self.name_item(doing.task, scope)?;
                Done::new(Status::Skipped, "")
            }
            (Err(error), _) => Done::failed(&error),
            (Ok(true), Some(error)) => Done::failed(error),
            (Ok(true), None) => self.tries(doing, scope),
        };
        ignore(doing.task, &mut done);
        self.report(doing, scope, &done, started.elapsed())?;
        Ok(done)
    }

    /// The scope with the task's own variables, and what is wrong with one that could not be resolved: a task that is not
    /// wanted may well name what is not there.
    pub(super) fn with_vars(&self, task: &Task, scope: &Scope) -> (Scope, Option<Error>) {
        let mut scope = scope.with(&Default::default());
        let unresolved = vars::resolve(&self.engine, &mut scope, &task.vars).err();
        (scope, unresolved)
    }

    fn tries(&mut self, doing: Doing<'_>, scope: &Scope) -> Done {
        let mut tries = 0;
        loop {
            let done = self.attempt(doing, scope).unwrap_or_else(|error| Done::failed(&error));
            if done.status != Status::Failed || tries == doing.task.retries || self.machine.check {
                return done;
            }
            tries += 1;
            std::thread::sleep(Duration::from_secs(doing.task.delay.into()));
        }
    }
}

fn ignore(task: &Task, done: &mut Done) {
    if task.ignore_errors && done.status == Status::Failed {
        done.status = Status::Ignored;
    }
}
