//! What the playbooks made before and do not name any more: told, and removed where that was asked for.

use super::done::Done;
use super::{Doing, Run};
use crate::Result;
use crate::node::exec::Output;
use crate::node::made::Made;
use crate::node::tasks;
use crate::wire::expr::Scope;
use crate::wire::plan::{Play, Status, Step, Task, TaskEvent};

impl Run<'_> {
    /// Removes what is left over, or tells what it is. Only after a run that went well, of all the node's playbooks: what
    /// others name cannot be known.
    pub(super) fn prune(&mut self, prune: bool) -> Result<Vec<String>> {
        if let Some(origin) = self.made.unclear_origin() {
            return Ok(if prune {
                vec![format!("nothing was looked for: it cannot be told what the task at {origin} names")]
            } else {
                Vec::new()
            });
        }
        let is_gone = |made: &Made| made.removal(self.machine).is_ok_and(|changes| changes.is_empty());
        let (mut gone, left): (Vec<_>, Vec<_>) =
            self.made.left_over()?.into_iter().partition(|(_, made)| is_gone(made));
        let mut told = Vec::new();
        for (play, made) in left {
            if !prune {
                told.push(made.name());
                continue;
            }
            let done = self.remove(&made).unwrap_or_else(|error| Done::failed(&error));
            if done.status == Status::Changed {
                self.summary.changed += 1;
                gone.push((play.clone(), made));
            } else {
                self.summary.failed += 1;
            }
            self.report_pruned(play, done)?;
        }
        if !self.machine.check {
            self.made.forget(&gone.into_iter().map(|(_, made)| made).collect::<Vec<_>>())?;
        }
        Ok(told)
    }

    fn remove(&mut self, made: &Made) -> Result<Done> {
        let changes = made.removal(self.machine)?;
        if changes.is_empty() {
            // It went with what was removed before it, as a user's own group does.
            return Ok(Done::new(Status::Changed, format!("remove the {}", made.name())));
        }
        let messages: Vec<&str> = changes.iter().map(|change| change.message.as_str()).collect();
        let done = Done::new(Status::Changed, messages.join("\n"));
        if self.machine.check {
            self.machine.foresee(&changes);
        } else {
            self.protect(None, &changes)?;
            changes.into_iter().try_for_each(|change| change.apply(self.machine, &mut Output::default()))?;
        }
        Ok(done)
    }

    fn report_pruned(&mut self, play: String, done: Done) -> Result<()> {
        self.controller.tell(TaskEvent {
            play,
            name: "remove what no playbook names any more".to_owned(),
            kind: "prune".to_owned(),
            status: done.status,
            message: self.redactor.apply(&done.message),
            hints: done.hints,
            ..TaskEvent::default()
        })
    }

    /// Notes what steps that are not done would make.
    pub(super) fn name_steps(&mut self, play: &Play, steps: &[Step], scope: &Scope) -> Result<()> {
        for step in steps {
            match step {
                Step::Task(task) => self.name_task(Doing { play, task, handler: false, item: None }, scope)?,
                Step::Block(block) => {
                    for steps in [&block.tasks, &block.rescue, &block.always] {
                        self.name_steps(play, steps, scope)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Notes what a task that is not done would make, for each of its items.
    pub(super) fn name_task(&mut self, doing: Doing<'_>, scope: &Scope) -> Result<()> {
        let task = doing.task;
        if tasks::makes(&task.action).is_empty() {
            return Ok(());
        }
        let scope = scope.with(&self.registered);
        match self.items(task, &scope) {
            Ok(None) => self.name_item(task, &scope),
            Ok(Some(items)) => items.iter().try_for_each(|item| {
                let mut scope = scope.with(&Default::default());
                scope.set("item", item);
                self.name_item(task, &scope)
            }),
            Err(_) => {
                self.made.unclear(&task.origin);
                Ok(())
            }
        }
    }

    /// Notes what a task would make, in the scope of one item.
    pub(super) fn name_item(&mut self, task: &Task, scope: &Scope) -> Result<()> {
        if tasks::makes(&task.action).is_empty() {
            return Ok(());
        }
        match self.fields(task, &self.with_vars(task, scope).0) {
            Ok(action) => self.made.name(&tasks::makes(&action)),
            Err(_) => {
                self.made.unclear(&task.origin);
                Ok(())
            }
        }
    }
}
