//! Tells a run's events to the controller: at once what changed something, together what did not.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::Result;
use crate::wire::frame;
use crate::wire::message::Reply;
use crate::wire::plan::{Status, TaskEvent};

/// How long an event that changed nothing may wait for the next one.
const PATIENCE: Duration = Duration::from_millis(200);

/// Where a run's events go.
pub(crate) struct Teller<'a, W> {
    output: &'a mut W,
    waiting: Vec<TaskEvent>,
    since: Instant,
}

impl<'a, W: Write> Teller<'a, W> {
    pub(crate) fn new(output: &'a mut W) -> Self {
        Self { output, waiting: Vec::new(), since: Instant::now() }
    }

    /// Tells an event, now or with a later one.
    ///
    /// # Errors
    /// Fails where the controller is gone.
    pub(crate) fn tell(&mut self, event: TaskEvent) -> Result<()> {
        let may_wait = matches!(event.status, Status::Ok | Status::Skipped);
        if self.waiting.is_empty() {
            self.since = Instant::now();
        }
        self.waiting.push(event);
        if may_wait && self.since.elapsed() < PATIENCE { Ok(()) } else { self.flush() }
    }

    /// Tells all that waits.
    ///
    /// # Errors
    /// Fails where the controller is gone.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        frame::write(self.output, &Reply::Events { events: std::mem::take(&mut self.waiting) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_nothing_is_told_with_what_comes_after_it() {
        let mut output = Vec::new();
        let mut teller = Teller::new(&mut output);
        for status in [Status::Ok, Status::Skipped, Status::Changed, Status::Ok] {
            teller.tell(TaskEvent { status, ..TaskEvent::default() }).unwrap();
        }
        teller.flush().unwrap();
        teller.flush().unwrap();
        let mut rest = &output[..];
        let frames: Vec<serde_json::Value> = std::iter::from_fn(|| frame::read(&mut rest).unwrap()).collect();
        assert_eq!(frames.iter().map(|frame| frame["events"].as_array().unwrap().len()).collect::<Vec<_>>(), [3, 1]);
    }
}
