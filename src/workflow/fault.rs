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

/// A point at which the process kills itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    kind: String,
    step: String,
    point: FaultPoint,
}

impl Fault {
    /// Dies, as from `kill -9`, where this is the point.
    pub(super) fn strike(&self, kind: &str, step: &str, point: FaultPoint) {
        if self.kind == kind && self.step == step && self.point == point {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }
}

impl FromStr for Fault {
    type Err = Error;

    /// Reads `KIND/STEP/POINT`, where POINT is `before`, `after`, `undo-before` or `undo-after`.
    fn from_str(text: &str) -> Result<Self> {
        let parsed = text.split_once('/').and_then(|(kind, rest)| {
            let (step, point) = rest.rsplit_once('/')?;
            let point = match point {
                "before" => FaultPoint::Before,
                "after" => FaultPoint::After,
                "undo-before" => FaultPoint::UndoBefore,
                "undo-after" => FaultPoint::UndoAfter,
                _ => return None,
            };
            Some(Self { kind: kind.to_owned(), step: step.to_owned(), point })
        });
        parsed.ok_or_else(|| {
            Error::input(format!("{text:?} is not a fault"))
                .hint("write KIND/STEP/POINT, where POINT is before, after, undo-before or undo-after")
        })
    }
}
