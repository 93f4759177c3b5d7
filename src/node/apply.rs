//! A plan's application: walks the plays' steps, evaluates what is to be evaluated on the node, and reports.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::node::exec::Output;
use crate::node::handlers::Handlers;
use crate::node::machine::{Inputs, Machine};
use crate::node::{tasks, vars};
use crate::redact::Redactor;
use crate::wire::action::{Action, Content};
use crate::wire::expr::{Engine, Scope};
use crate::wire::plan::{ApplyOptions, Loop, PLAN_VERSION, Plan, Play, Status, Step, Summary, Task, TaskEvent};
use crate::{Error, Result};

/// What takes the events; an error of its own (the controller is gone) ends the run after the task at hand.
pub type OnEvent<'a> = &'a mut dyn FnMut(TaskEvent) -> Result<()>;

/// Applies a plan, or with `options.check` tells what it would change.
///
/// # Errors
/// Fails where the plan is of another version, its variables cannot be resolved, or an event finds no taker. A task
/// that fails is an event and counts in the summary.
pub fn apply(machine: &Machine, plan: &Plan, options: &ApplyOptions, on_event: OnEvent<'_>) -> Result<Summary> {
    if plan.version != PLAN_VERSION {
        return Err(Error::failed(format!(
            "the plan is of version {}, and this agent takes version {PLAN_VERSION}",
            plan.version
        )));
    }
    let handlers = Handlers::load(&machine.paths, options.check)?;
    let mut run = Run {
        machine,
        plan,
        diff: options.diff,
        engine: Engine::new(),
        redactor: Redactor::default(),
        registered: Default::default(),
        summary: Summary::default(),
        handlers,
        on_event,
    };
    for play in &plan.plays {
        if !run.play(play)? {
            break;
        }
    }
    Ok(run.summary)
}

struct Run<'a> {
    machine: &'a Machine,
    plan: &'a Plan,
    diff: bool,
    engine: Engine,
    redactor: Redactor,
    registered: std::collections::BTreeMap<String, Value>,
    summary: Summary,
    handlers: Handlers,
    on_event: OnEvent<'a>,
}

/// How one task, or one item of it, ended.
struct Done {
    status: Status,
    message: String,
    hints: Vec<String>,
    diff: Option<String>,
    output: Output,
}

impl Done {
    fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), hints: Vec::new(), diff: None, output: Output::default() }
    }

    fn failed(error: &Error) -> Self {
        Self { hints: error.hints().to_vec(), ..Self::new(Status::Failed, error.one_line()) }
    }

    /// The result, as `register` keeps it and as `changed_when` and `failed_when` see it.
    fn result(&self) -> Value {
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

impl Run<'_> {
    /// Applies a play and then its notified handlers; whether all went well.
    fn play(&mut self, play: &Play) -> Result<bool> {
        let resolved = vars::resolve(&self.engine, &self.machine.facts, &play.vars, &self.plan.vars)?;
        for name in &self.plan.sensitive {
            if let Some(value) = resolved.get(name) {
                vars::learn(&mut self.redactor, value);
            }
        }
        let mut scope = Scope::default().with(&resolved);
        scope.set("facts", &self.machine.facts);
        if !self.steps(play, &play.steps, &scope)? {
            return Ok(false);
        }
        for handler in &play.handlers {
            if self.handlers.is_pending(&play.name, &handler.name) {
                if !self.task(play, handler, &scope, true)? {
                    return Ok(false);
                }
                self.handlers.done(&play.name, &handler.name)?;
            }
        }
        Ok(true)
    }

    fn steps(&mut self, play: &Play, steps: &[Step], scope: &Scope) -> Result<bool> {
        for step in steps {
            let went_well = match step {
                Step::Task(task) => self.task(play, task, scope, false)?,
                Step::Block(block) => {
                    let before = self.summary.failed;
                    let mut went_well = self.steps(play, &block.tasks, scope)?;
                    if !went_well && !block.rescue.is_empty() && self.steps(play, &block.rescue, scope)? {
                        self.summary.ignored += self.summary.failed - before;
                        self.summary.failed = before;
                        went_well = true;
                    }
                    self.steps(play, &block.always, scope)? && went_well
                }
            };
            if !went_well {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Does a task, for each of its items; whether the run may go on.
    fn task(&mut self, play: &Play, task: &Task, scope: &Scope, handler: bool) -> Result<bool> {
        let scope = scope.with(&self.registered).with(&task.vars);
        let items = match self.items(task, &scope) {
            Ok(items) => items,
            Err(error) => Some(Err(error)),
        };
        let (status, result) = match items {
            None => {
                let done = self.item(play, task, &scope, None, handler)?;
                (done.status, done.result())
            }
            Some(Err(error)) => {
                let mut done = Done::failed(&error);
                self.ignore(task, &mut done);
                self.report(play, task, &scope, None, handler, &done, Duration::ZERO)?;
                (done.status, done.result())
            }
            Some(Ok(items)) => {
                let mut results = Vec::new();
                let mut overall = Status::Skipped;
                for item in items {
                    let mut scope = scope.with(&Default::default());
                    scope.set("item", &item);
                    let done = self.item(play, task, &scope, Some(&item), handler)?;
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
                (overall, result)
            }
        };
        if let Some(name) = &task.register {
            self.registered.insert(name.clone(), result);
        }
        let count = match status {
            Status::Changed => &mut self.summary.changed,
            Status::Skipped => &mut self.summary.skipped,
            Status::Failed => &mut self.summary.failed,
            Status::Ignored => &mut self.summary.ignored,
            Status::Ok | Status::Started => &mut self.summary.unchanged,
        };
        *count += 1;
        Ok(status != Status::Failed)
    }

    /// The items of a task's loop; `None` for a task without one.
    fn items(&self, task: &Task, scope: &Scope) -> Result<Option<Result<Vec<Value>>>> {
        let value = match &task.loop_ {
            None => return Ok(None),
            Some(Loop::Items(items)) => self.engine.render_within(&Value::Array(items.clone()), scope)?,
            Some(Loop::Expression(expression)) => self.engine.value(expression, scope)?,
        };
        Ok(Some(match value {
            Value::Array(items) => Ok(items),
            other => Err(Error::failed(format!("`loop` needs a list, and got {other}"))),
        }))
    }

    /// Does a task for one item, as often as `retries` allows, and reports.
    fn item(&mut self, play: &Play, task: &Task, scope: &Scope, item: Option<&Value>, handler: bool) -> Result<Done> {
        let started = Instant::now();
        let mut tries = 0;
        let mut done = loop {
            let done = match self.attempt(play, task, scope, item, handler) {
                Ok(done) => done,
                Err(error) => Done::failed(&error),
            };
            if done.status != Status::Failed || tries == task.retries || self.machine.check {
                break done;
            }
            tries += 1;
            std::thread::sleep(Duration::from_secs(task.delay.into()));
        };
        self.ignore(task, &mut done);
        self.report(play, task, scope, item, handler, &done, started.elapsed())?;
        Ok(done)
    }

    fn ignore(&self, task: &Task, done: &mut Done) {
        if task.ignore_errors && done.status == Status::Failed {
            done.status = Status::Ignored;
        }
    }

    fn attempt(
        &mut self,
        play: &Play,
        task: &Task,
        scope: &Scope,
        item: Option<&Value>,
        handler: bool,
    ) -> Result<Done> {
        if let Some(when) = &task.when
            && !self.engine.is_true(when, scope)?
        {
            return Ok(Done::new(Status::Skipped, ""));
        }
        let (action, inputs) = self.render(task, scope)?;
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
                done.status = Status::Ok;
                return Ok(done);
            }
            self.machine.note_change();
            for name in &task.notify {
                self.handlers.notify(&play.name, name)?;
            }
            return Ok(done);
        }
        let mut news = Vec::new();
        for name in &task.notify {
            if self.handlers.notify(&play.name, name)? {
                news.push(name);
            }
        }
        if matches!(action, Action::Package(_) | Action::Command(_)) {
            let started = Done { diff: None, ..Done::new(Status::Started, done.message.clone()) };
            self.report(play, task, scope, item, handler, &started, Duration::ZERO)?;
        }
        for change in changes {
            change.apply(self.machine, &mut done.output)?;
        }
        let done = self.judge(task, scope, done)?;
        if done.status == Status::Ok {
            for name in news {
                self.handlers.done(&play.name, name)?;
            }
        }
        Ok(done)
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

    /// Renders every string of a task's action, and the content that it names.
    fn render(&self, task: &Task, scope: &Scope) -> Result<(Action, Inputs)> {
        let broken = |error| Error::failed("the task's fields do not fit once they are rendered").because(error);
        let blob = |hash: &str| {
            self.plan.blobs.get(hash).ok_or_else(|| Error::failed(format!("the plan lacks the content {hash}")))
        };
        let text = |hash: &str| -> Result<Vec<u8>> {
            let text = std::str::from_utf8(&blob(hash)?.0)
                .map_err(|error| Error::failed("the template is no text").because(error))?;
            Ok(self.engine.render(text, scope)?.into_bytes())
        };
        let content = match task.action.content() {
            Some(Content::Raw(hash)) => Some(blob(hash)?.0.clone()),
            Some(Content::Template(hash)) => Some(text(hash)?),
            None => None,
        };
        let fields = serde_json::to_value(&task.action).map_err(broken)?;
        let action = serde_json::from_value(self.engine.render_within(&fields, scope)?).map_err(broken)?;
        let timeout = (task.timeout > 0).then(|| Duration::from_secs(task.timeout.into()));
        Ok((action, Inputs { content, timeout }))
    }

    #[expect(clippy::too_many_arguments, reason = "an event has that many sides")]
    fn report(
        &mut self,
        play: &Play,
        task: &Task,
        scope: &Scope,
        item: Option<&Value>,
        handler: bool,
        done: &Done,
        elapsed: Duration,
    ) -> Result<()> {
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

/// A loop's status is that of the item that matters most.
fn worse(a: Status, b: Status) -> Status {
    let rank = |status| match status {
        Status::Started | Status::Skipped => 0,
        Status::Ok => 1,
        Status::Changed => 2,
        Status::Ignored => 3,
        Status::Failed => 4,
    };
    if rank(b) > rank(a) { b } else { a }
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
