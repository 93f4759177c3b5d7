//! Live progress: on a terminal a line for each node that is worked on and one for all, plain lines elsewhere, events
//! with `--json`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::printer::{BAD, BOLD, CHANGE, GOOD, Printer};
use super::run_log::{RunLog, word};
use crate::wire::plan::{Status, TaskEvent};
use crate::workflow::{Event, EventState, Observer};

/// What stays on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// The workflows' steps.
    Steps,
    /// The playbooks' tasks that changed something or failed.
    Tasks,
    /// The playbooks' tasks that failed.
    Failures,
}

/// Shows what is done on many nodes.
pub(super) struct Progress {
    printer: Printer,
    live: Option<MultiProgress>,
    detail: Detail,
    /// Show what changes in files.
    diff: bool,
    log: Option<RunLog>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Names for people, by subject.
    names: HashMap<String, String>,
    /// The lines of those that are worked on.
    lines: HashMap<String, ProgressBar>,
    all: Option<ProgressBar>,
    failed: usize,
}

/// An event with the workspace that it is about, for `--json`.
#[derive(Serialize)]
struct Told<'a, T> {
    workspace: &'a str,
    #[serde(flatten)]
    what: &'a T,
}

/// A task, for `--json`.
#[derive(Serialize)]
struct Task<'a> {
    task: &'a TaskEvent,
}

impl Progress {
    /// Live where stderr is a terminal and nobody asked for plain lines.
    pub(super) fn new(printer: Printer, plain: bool) -> Self {
        let live = (printer.live() && !plain).then(MultiProgress::new);
        Self { printer, live, detail: Detail::Steps, diff: false, log: None, state: Mutex::default() }
    }

    /// Shows tasks in place of steps, and keeps them in logs; `nodes` are worked on in all.
    pub(super) fn of_tasks(self, detail: Detail, diff: bool, nodes: usize, log: Option<RunLog>) -> Self {
        let all = self.live.as_ref().map(|live| {
            let style = ProgressStyle::with_template("{bar:24.green/dim} {pos}/{len} nodes {msg} {elapsed:.dim}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            live.add(ProgressBar::new(nodes as u64).with_style(style))
        });
        self.state().all = all;
        Self { detail, diff, log, ..self }
    }

    /// The printer, for what is said once the work is over.
    pub(super) fn printer(&self) -> &Printer {
        &self.printer
    }

    /// Where the nodes' logs lie.
    pub(super) fn log(&self) -> Option<&RunLog> {
        self.log.as_ref()
    }

    /// Says what a subject is called.
    pub(super) fn name(&self, subject: &str, name: &str) {
        self.state().names.insert(subject.to_owned(), name.to_owned());
    }

    /// A node begins to be worked on.
    pub(super) fn begin(&self, subject: &str) {
        let name = self.name_of(subject);
        if let Some(live) = &self.live {
            let style = ProgressStyle::with_template("{spinner:.cyan} {prefix:.bold} {wide_msg} {elapsed:.dim}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = ProgressBar::new_spinner().with_style(style);
            let mut state = self.state();
            let bar = match &state.all {
                Some(all) => live.insert_before(all, bar),
                None => live.add(bar),
            };
            bar.set_prefix(format!("{name:<16}"));
            bar.enable_steady_tick(Duration::from_millis(120));
            if let Some(before) = state.lines.insert(subject.to_owned(), bar) {
                before.finish_and_clear();
            }
        }
    }

    /// A node is not worked on any more.
    pub(super) fn end(&self, subject: &str) {
        if let Some(bar) = self.state().lines.remove(subject) {
            bar.finish_and_clear();
        }
    }

    /// The work on a node is over, and this is what is told of it.
    pub(super) fn over(&self, name: &str, succeeded: bool, text: &str) {
        let all = {
            let mut state = self.state();
            state.failed += usize::from(!succeeded);
            let failed = state.failed;
            state.all.clone().inspect(|all| {
                all.inc(1);
                if failed > 0 {
                    all.set_message(format!("{failed} failed"));
                }
            })
        };
        if let Some(log) = &self.log {
            log.line(name, text);
        }
        let mark = if succeeded { format!("{GOOD}✓{GOOD:#}") } else { format!("{BAD}✗{BAD:#}") };
        if all.is_none() || !succeeded || self.detail == Detail::Tasks {
            self.say(&format!("{BOLD}{name:<16}{BOLD:#} {mark} {text}"));
        }
    }

    /// A task of a playbook ended, or one that may take long began.
    pub(super) fn task(&self, subject: &str, event: &TaskEvent) {
        let name = self.name_of(subject);
        if let Some(log) = &self.log {
            log.task(&name, event);
        }
        if self.printer.json {
            // Whoever reads the events and goes away ends nothing.
            let _ = self.printer.data(&Told { workspace: &name, what: &Task { task: event } }, "");
            return;
        }
        if let Some(bar) = self.state().lines.get(subject) {
            bar.set_message(format!("{}: {}", event.play, event.name));
        }
        let style = match (event.status, self.detail) {
            (Status::Failed | Status::Ignored, Detail::Tasks | Detail::Failures) => BAD,
            (Status::Changed, Detail::Tasks) => CHANGE,
            // It is there to be read.
            (Status::Ok, Detail::Tasks) if event.kind == "debug" => GOOD,
            _ => return,
        };
        let item = event.item.as_ref().map(|item| format!(" [{item}]")).unwrap_or_default();
        let mut text = format!(
            "{BOLD}{name:<16}{BOLD:#} {style}{:<7}{style:#} {}: {}{item}",
            word(event.status),
            event.play,
            event.name
        );
        for line in event.message.lines() {
            text += &format!("\n{:<24} {line}", "");
        }
        self.say(&text);
        if let (true, Some(diff)) = (self.diff, &event.diff) {
            self.data(diff);
        }
    }

    /// Takes the live lines away; what was done stays on the screen.
    pub(super) fn finish(&self) {
        let mut state = self.state();
        for (_, bar) in state.lines.drain() {
            bar.finish_and_clear();
        }
        if let Some(all) = state.all.take() {
            all.finish_and_clear();
        }
    }

    fn name_of(&self, subject: &str) -> String {
        self.state().names.get(subject).map_or_else(|| subject.to_owned(), String::clone)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, text: &str) {
        self.above(|| self.printer.say(text));
    }

    fn data(&self, text: &str) {
        // A reader that has gone away ends nothing.
        self.above(|| drop(self.printer.data(&(), text)));
    }

    /// Above the live lines, not across them.
    fn above(&self, print: impl FnOnce()) {
        match &self.live {
            Some(live) => live.suspend(print),
            None => print(),
        }
    }
}

impl Observer for Progress {
    fn event(&self, event: Event) {
        if let Some(task) = &event.task {
            // `up` shows the step that they belong to.
            if self.detail != Detail::Steps || self.printer.json {
                self.task(&event.subject, task);
            }
            return;
        }
        if event.step.is_none() {
            match event.state {
                EventState::Started => self.begin(&event.subject),
                _ => self.end(&event.subject),
            }
        }
        let name = self.name_of(&event.subject);
        if self.printer.json {
            let _ = self.printer.data(&Told { workspace: &name, what: &event }, "");
            return;
        }
        let Some(step) = event.step else { return };
        let bar = self.state().lines.get(&event.subject).cloned();
        let place = format!("{}/{}", event.position, event.steps);
        let message = event.message.unwrap_or_default();
        let seconds = event.elapsed.as_secs_f64();
        if matches!(event.state, EventState::Started | EventState::Progress) {
            let detail = if message.is_empty() { step.to_owned() } else { format!("{step}: {message}") };
            match bar {
                Some(bar) => bar.set_message(format!("[{place}] {detail}")),
                // A plain log tells the beginning of nothing: most steps are over in an instant.
                None if event.state == EventState::Progress && self.detail == Detail::Steps => {
                    self.printer.say(format_args!("{name:<16} {detail}"))
                }
                None => {}
            }
            return;
        }
        if self.detail != Detail::Steps {
            return;
        }
        match event.state {
            EventState::Done => {
                self.say(&format!("{BOLD}{name:<16}{BOLD:#} {GOOD}✓{GOOD:#} {step:<10} {seconds:>6.1} s"))
            }
            EventState::Undone => self.say(&format!("{BOLD}{name:<16}{BOLD:#} ↩ {step:<10} {seconds:>6.1} s")),
            EventState::Retrying => self.say(&format!("{name:<16} … {step}: trying again: {message}")),
            EventState::Failed => {
                self.say(&format!("{BOLD}{name:<16}{BOLD:#} ✗ {step:<10} {seconds:>6.1} s  {message}"))
            }
            _ => {}
        }
    }
}
