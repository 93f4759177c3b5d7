//! Live progress: a line per workspace on a terminal, plain lines elsewhere, events with `--json`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::printer::{BOLD, GOOD, Printer};
use crate::workflow::{Event, EventState, Observer};

/// Shows what workflows do.
pub(super) struct Progress {
    printer: Printer,
    live: Option<MultiProgress>,
    /// Names for people, by subject; and the line of each.
    lines: Mutex<HashMap<String, Line>>,
}

struct Line {
    name: String,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Live where stderr is a terminal and nobody asked for plain lines.
    pub(super) fn new(printer: Printer, plain: bool) -> Self {
        let live = (printer.live() && !plain).then(MultiProgress::new);
        Self { printer, live, lines: Mutex::default() }
    }

    /// The printer, for what is said once the work is over.
    pub(super) fn printer(&self) -> &Printer {
        &self.printer
    }

    /// Says what a subject is called.
    pub(super) fn name(&self, subject: &str, name: &str) {
        let bar = self.live.as_ref().map(|live| {
            let style = ProgressStyle::with_template("{spinner:.cyan} {prefix:.bold} {wide_msg} {elapsed:.dim}");
            let bar = live
                .add(ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner())));
            bar.set_prefix(format!("{name:<16}"));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        self.lines().insert(subject.to_owned(), Line { name: name.to_owned(), bar });
    }

    /// Takes the live lines away; what was done stays on the screen.
    pub(super) fn finish(&self) {
        for line in self.lines().values() {
            if let Some(bar) = &line.bar {
                bar.finish_and_clear();
            }
        }
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, HashMap<String, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, text: &str) {
        match &self.live {
            // Above the live lines, not across them.
            Some(live) => live.suspend(|| self.printer.say(text)),
            None => self.printer.say(text),
        }
    }
}

impl Observer for Progress {
    fn event(&self, event: Event) {
        if self.printer.json {
            // Whoever reads the events and goes away ends nothing.
            let _ = self.printer.data(&event, "");
            return;
        }
        let Some(step) = event.step else { return };
        let (name, bar) = {
            let lines = self.lines();
            let line = lines.get(&event.subject);
            (
                line.map_or_else(|| event.subject.clone(), |line| line.name.clone()),
                line.and_then(|line| line.bar.clone()),
            )
        };
        let place = format!("{}/{}", event.position, event.steps);
        let message = event.message.unwrap_or_default();
        let seconds = event.elapsed.as_secs_f64();
        match event.state {
            EventState::Started | EventState::Progress => {
                let detail = if message.is_empty() { step.to_owned() } else { format!("{step}: {message}") };
                match bar {
                    Some(bar) => bar.set_message(format!("[{place}] {detail}")),
                    // A plain log tells the beginning of nothing: most steps are over in an instant.
                    None if event.state == EventState::Progress => {
                        self.printer.say(format_args!("{name:<16} {detail}"))
                    }
                    None => {}
                }
            }
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
