//! Tasks that steer the run: `assert`, `debug`, `set_fact`, `reboot`, and (beside it) `wait_for`.

use serde_json::Value;

use super::done::Done;
use super::{Doing, Run};
use crate::error::Kind;
use crate::wire::action::{Action, Assert, Reboot, SetFact};
use crate::wire::expr::Scope;
use crate::wire::plan::Status;
use crate::{Error, Result};

/// How long a machine may take to boot where nothing else was said, in seconds.
const BOOT_SECONDS: u32 = 600;

impl Run<'_> {
    /// Does a task that steers the run; `None` for those that look after the machine.
    pub(super) fn control(&mut self, doing: Doing<'_>, scope: &Scope) -> Result<Option<Done>> {
        Ok(Some(match &doing.task.action {
            Action::WaitFor(_) => self.wait_for(doing, scope)?,
            Action::Assert(assert) => self.assert(assert, scope)?,
            Action::Debug(debug) => Done::new(Status::Ok, self.engine.render(&debug.message, scope)?),
            Action::SetFact(facts) => self.set_fact(facts, scope)?,
            Action::Reboot(reboot) => self.reboot(reboot),
            _ => return Ok(None),
        }))
    }

    fn assert(&self, assert: &Assert, scope: &Scope) -> Result<Done> {
        for expression in &assert.that {
            if !self.engine.is_true(expression, scope)? {
                let error = Error::new(Kind::Failed, format!("`{expression}` does not hold"));
                return Err(match &assert.message {
                    Some(message) => error.context(self.engine.render(message, scope)?),
                    None => error,
                });
            }
        }
        Ok(Done::new(Status::Ok, ""))
    }

    fn set_fact(&mut self, facts: &SetFact, scope: &Scope) -> Result<Done> {
        for (name, value) in &facts.values {
            self.set.insert(name.clone(), self.engine.value_within(value, scope)?);
        }
        Ok(Done::new(Status::Ok, ""))
    }

    fn reboot(&mut self, reboot: &Reboot) -> Done {
        let is_asked_for = || self.machine.paths.at("/run/reboot-required").exists();
        // What is not there to be booted (an image's root) or need not be is as it should be.
        if self.machine.image || (reboot.if_required && !is_asked_for()) {
            return Done::new(Status::Ok, "");
        }
        if !self.machine.check {
            self.reboot = Some(reboot.timeout.unwrap_or(BOOT_SECONDS));
        }
        Done::new(Status::Changed, "boot the machine anew")
    }
}

/// The names and values that a task has given to the rest of the run.
pub(super) type Set = std::collections::BTreeMap<String, Value>;
