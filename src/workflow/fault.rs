//! Faults, for tests of what a crash leaves behind. Only in builds with debug assertions.

use std::str::FromStr;

use crate::{Error, Result};

/// Where in a step the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultPoint {
    /// The step is recorded as begun, and did nothing.
    Before,
    /// The step has acted, and is not recorded as done.
    After,
    /// The undo is recorded as begun, and did nothing.
    UndoBefore,
    /// The undo has acted, and is not recorded as done.
    UndoAfter,
}

/// A point at which the process kills itself, or falls asleep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Sleeps, as from SIGSTOP, until it is continued.
    sleeps: bool,
    kind: String,
    step: String,
    point: FaultPoint,
}

impl Fault {
    /// Dies, as from `kill -9`, or sleeps where this is the point.
    pub(super) fn strike(&self, kind: &str, step: &str, point: FaultPoint) {
        if self.kind == kind && self.step == step && self.point == point {
            let signal = if self.sleeps { rustix::process::Signal::STOP } else { rustix::process::Signal::KILL };
            let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
        }
    }
}

impl FromStr for Fault {
    type Err = Error;

    /// Reads `KIND/STEP/POINT`, where POINT is `before`, `after`, `undo-before` or `undo-after`; with `sleep:` before it, the
    /// process is stopped there and not killed.
    fn from_str(text: &str) -> Result<Self> {
        let (sleeps, place) = text.strip_prefix("sleep:").map_or((false, text), |place| (true, place));
        let parsed = place.split_once('/').and_then(|(kind, rest)| {
            let (step, point) = rest.rsplit_once('/')?;
            let point = match point {
                "before" => FaultPoint::Before,
                "after" => FaultPoint::After,
                "undo-before" => FaultPoint::UndoBefore,
                "undo-after" => FaultPoint::UndoAfter,
                _ => return None,
            };
            Some(Self { sleeps, kind: kind.to_owned(), step: step.to_owned(), point })
        });
        parsed.ok_or_else(|| {
            Error::input(format!("{text:?} is not a fault"))
                .hint("write KIND/STEP/POINT, where POINT is before, after, undo-before or undo-after")
        })
    }
}
