//! Tells a run's events to the controller: at once what changed something, together what did not. And asks it for content.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::Result;
use crate::node::apply::Controller;
use crate::wire::frame;
use crate::wire::message::Reply;
use crate::wire::plan::{Status, TaskEvent};

/// How long an event that changed nothing may wait for the next one.
const PATIENCE: Duration = Duration::from_millis(200);

/// The controller at the other end of a session.
pub(crate) struct Teller<'a> {
    input: &'a mut dyn Read,
    output: &'a mut dyn Write,
    waiting: Vec<TaskEvent>,
    since: Instant,
}

impl<'a> Teller<'a> {
    pub(crate) fn new(input: &'a mut dyn Read, output: &'a mut dyn Write) -> Self {
        Self { input, output, waiting: Vec::new(), since: Instant::now() }
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

impl Controller for Teller<'_> {
    /// Tells an event, now or with a later one.
    fn tell(&mut self, event: TaskEvent) -> Result<()> {
        let may_wait = matches!(event.status, Status::Ok | Status::Skipped);
        if self.waiting.is_empty() {
            self.since = Instant::now();
        }
        self.waiting.push(event);
        if may_wait && self.since.elapsed() < PATIENCE { Ok(()) } else { self.flush() }
    }

    fn content(&mut self, hash: &str, from: u64, to: &mut dyn Write) -> Result<()> {
        self.flush()?;
        frame::write(self.output, &Reply::Want { hash: hash.to_owned(), from })?;
        let mut broken = Ok(());
        loop {
            let piece = frame::read_piece(self.input)?;
            if piece.is_empty() {
                return Ok(broken?);
            }
            // What cannot be written (the disk is full) is read to its end: the session goes on.
            if broken.is_ok() {
                broken = to.write_all(&piece);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_nothing_is_told_with_what_comes_after_it() {
        let mut output = Vec::new();
        let mut input = std::io::empty();
        let mut teller = Teller::new(&mut input, &mut output);
        for status in [Status::Ok, Status::Skipped, Status::Changed, Status::Ok] {
            teller.tell(TaskEvent { status, ..TaskEvent::default() }).unwrap();
        }
        teller.flush().unwrap();
        teller.flush().unwrap();
        let mut rest = &output[..];
        let frames: Vec<serde_json::Value> = std::iter::from_fn(|| frame::read(&mut rest).unwrap()).collect();
        assert_eq!(frames.iter().map(|frame| frame["events"].as_array().unwrap().len()).collect::<Vec<_>>(), [3, 1]);
    }

    #[test]
    fn content_is_asked_for_and_read_to_its_end_even_where_the_disk_is_full() {
        let frames = |pieces: &[&[u8]]| -> Vec<u8> {
            pieces.iter().flat_map(|piece| frame::encode_piece(piece).unwrap()).collect()
        };
        let input = [frames(&[b"ab", b"c", b""]), frames(&[b"later", b""])].concat();
        let (mut rest, mut output, mut content) = (&input[..], Vec::new(), Vec::new());
        let mut teller = Teller::new(&mut rest, &mut output);
        let mut full = &mut [0_u8; 1][..];
        assert!(teller.content("h", 7, &mut full).is_err());
        teller.content("i", 0, &mut content).unwrap();
        assert_eq!(content, b"later");
        assert!(teller.content("j", 0, &mut content).is_err(), "the stream has ended");
        let asked: serde_json::Value = frame::read(&mut &output[..]).unwrap().unwrap();
        assert_eq!(asked, serde_json::json!({"is": "want", "hash": "h", "from": 7}));
    }
}
