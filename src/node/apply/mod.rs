//! A plan's application: walks the plays' steps, evaluates what is to be evaluated on the node, and reports.

mod attempt;
mod control;
mod done;
mod journal;
mod prune;
#[cfg(test)]
mod prune_tests;
mod report;
mod task;
#[cfg(test)]
mod tests;
mod wait;

use std::io::Write;

use serde_json::Value;

use self::journal::Journal;
use crate::node::guard::{self, Guard};
use crate::node::handlers::Handlers;
use crate::node::machine::Machine;
use crate::node::{contents, facts, made, systemd, vars};
use crate::redact::Redactor;
use crate::wire::expr::{Engine, Scope};
use crate::wire::plan::{Applied, ApplyOptions, Blob, Facts, PLAN_VERSION, Plan, Play, Step, Summary, Task, TaskEvent};
use crate::{Error, Result};

/// Who a run works for. An error of theirs (the controller is gone) ends the run after the task at hand.
pub trait Controller {
    /// Takes an event.
    ///
    /// # Errors
    /// Fails where nobody listens any more.
    fn tell(&mut self, event: TaskEvent) -> Result<()>;

    /// Writes the content with this SHA-256 of which the plan has the name only, from the given byte on.
    ///
    /// # Errors
    /// Fails where it does not come, or cannot be written.
    fn content(&mut self, hash: &str, from: u64, to: &mut dyn Write) -> Result<()>;
}

/// Applies a plan, or with `options.check` tells what it would change.
///
/// # Errors
/// Fails where the plan is of another version, its variables cannot be resolved, or an event finds no taker. A task
/// that fails is an event and counts in the summary.
pub fn apply(
    machine: &Machine,
    plan: &Plan,
    options: &ApplyOptions,
    controller: &mut dyn Controller,
) -> Result<Applied> {
    if plan.version != PLAN_VERSION {
        return Err(Error::failed(format!(
            "the plan is of version {}, and this agent takes version {PLAN_VERSION}",
            plan.version
        )));
    }
    machine.foreseen.begin();
    // A check and an image's build leave nothing behind that could be gone on with, or that could lock anyone out.
    let is_live = !options.check && !options.image;
    let mut facts = machine.facts.clone();
    if mentions(plan, "facts.packages") {
        facts["packages"] = facts::packages(&machine.paths)?;
    }
    if is_live {
        systemd::catch_up(machine)?;
    }
    let taken_back = if is_live { guard::settle(machine)? } else { None };
    // What was taken back is to be done again, so a run that broke is not gone on with but begun anew.
    let resume = options.resume && taken_back.is_none() && guard::taken_back(&machine.paths).is_none();
    let journal = if is_live { Journal::begin(machine, plan, resume)? } else { Journal::none() };
    let mut run = Run {
        machine,
        facts,
        plan,
        diff: options.diff,
        engine: Engine::new(),
        redactor: Redactor::default(),
        knows_secrets: false,
        has_acted: false,
        registered: control::Set::new(),
        summary: Summary::default(),
        handlers: Handlers::load(&machine.paths, options.check)?,
        journal,
        set: control::Set::new(),
        guard: Guard::new(options.confirm_within),
        made: made::Record::new(&machine.paths),
        reboot: None,
        controller,
    };
    if let Some(what) = taken_back {
        run.report_taken_back(what)?;
    }
    if is_live {
        guard::forget_taken_back(&machine.paths)?;
    }
    let ended = run.plays();
    if is_live {
        systemd::catch_up(machine)?;
    }
    let ended = ended?;
    let mut left_over = Vec::new();
    match ended {
        Walk::On => {
            if plan.whole && !options.image {
                left_over = run.prune(options.prune)?;
            }
            run.journal.finish()?;
        }
        // What came is here when the run is gone on with.
        Walk::Failed => {}
        Walk::Reboot => run.journal.keep_over_boot(&run.redactor)?,
    }
    if ended == Walk::On || options.image {
        contents::forget(&machine.paths)?;
    }
    Ok(Applied { summary: run.summary, reboot: run.reboot, guard: run.guard.end(&machine.paths)?, left_over })
}

/// Whether an expression or a template of the plan names this.
fn mentions(plan: &Plan, name: &str) -> bool {
    let in_content = |content: &Blob| std::str::from_utf8(&content.0).is_ok_and(|text| text.contains(name));
    serde_json::to_string(&(&plan.vars, &plan.plays)).is_ok_and(|text| text.contains(name))
        || plan.blobs.values().any(in_content)
}

struct Run<'a> {
    machine: &'a Machine,
    facts: Facts,
    plan: &'a Plan,
    diff: bool,
    engine: Engine,
    redactor: Redactor,
    /// The redactor knows the node's secrets.
    knows_secrets: bool,
    /// Something was changed, or a command was run.
    has_acted: bool,
    /// What tasks have registered, and the facts that they set.
    registered: control::Set,
    /// What the task at hand has set.
    set: control::Set,
    summary: Summary,
    handlers: Handlers,
    journal: Journal,
    guard: Guard,
    made: made::Record,
    /// Set by a `reboot` task: how long the machine may take, in seconds.
    reboot: Option<u32>,
    controller: &'a mut dyn Controller,
}

/// How the walk through the steps goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Walk {
    /// With the next step.
    On,
    /// A task failed, and nothing has dealt with it.
    Failed,
    /// The machine is to be booted; the rest comes afterwards.
    Reboot,
}

/// A task that is being done, and where.
#[derive(Clone, Copy)]
struct Doing<'a> {
    play: &'a Play,
    task: &'a Task,
    handler: bool,
    item: Option<&'a Value>,
}

impl Run<'_> {
    fn plays(&mut self) -> Result<Walk> {
        for play in &self.plan.plays {
            match self.play(play)? {
                Walk::On => {}
                other => return Ok(other),
            }
        }
        Ok(Walk::On)
    }

    /// Applies a play and then its notified handlers.
    fn play(&mut self, play: &Play) -> Result<Walk> {
        let mut scope = Scope::default();
        scope.set("facts", &self.facts);
        let mut merged = play.vars.clone();
        merged.extend(self.plan.vars.clone());
        merged.remove("facts");
        let resolved = vars::resolve(&self.engine, &mut scope, &merged)?;
        for name in &self.plan.sensitive {
            if let Some(value) = resolved.get(name) {
                vars::learn(&mut self.redactor, value);
            }
        }
        match self.steps(play, &play.steps, &scope)? {
            Walk::On => {}
            other => return Ok(other),
        }
        for handler in &play.handlers {
            if self.handlers.is_pending(&play.name, &handler.name) {
                match self.task(Doing { play, task: handler, handler: true, item: None }, &scope)? {
                    Walk::On => self.handlers.done(&play.name, &handler.name)?,
                    other => return Ok(other),
                }
            } else {
                self.name_task(Doing { play, task: handler, handler: true, item: None }, &scope)?;
            }
        }
        Ok(Walk::On)
    }

    fn steps(&mut self, play: &Play, steps: &[Step], scope: &Scope) -> Result<Walk> {
        for step in steps {
            let walk = match step {
                Step::Task(task) => self.task(Doing { play, task, handler: false, item: None }, scope)?,
                Step::Block(block) => {
                    let before = self.summary.failed;
                    let mut walk = self.steps(play, &block.tasks, scope)?;
                    if walk == Walk::Failed && !block.rescue.is_empty() {
                        self.journal.dealt_with()?;
                        walk = self.steps(play, &block.rescue, scope)?;
                        if walk == Walk::On {
                            self.summary.ignored += self.summary.failed - before;
                            self.summary.failed = before;
                        }
                    } else {
                        self.name_steps(play, &block.rescue, scope)?;
                    }
                    // What comes after the boot is the rest of the block, and `always` after that.
                    match walk {
                        Walk::Reboot => walk,
                        before => match self.steps(play, &block.always, scope)? {
                            Walk::On => before,
                            other => other,
                        },
                    }
                }
            };
            if walk != Walk::On {
                return Ok(walk);
            }
        }
        Ok(Walk::On)
    }
}
