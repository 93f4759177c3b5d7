//! A machine's serial console: told while it comes, kept for errors.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};

/// How many lines are kept.
const KEPT: usize = 40;

/// The last lines of a console. Clones show the same one.
#[derive(Debug, Clone, Default)]
pub struct Console(Arc<Mutex<VecDeque<String>>>);

impl Console {
    /// Reads the console to its end, and tells each line.
    pub fn follow(&self, from: impl Read, told: &dyn Fn(&str)) {
        for line in BufReader::new(from).split(b'\n') {
            let Ok(line) = line else { break };
            let line = plain(&String::from_utf8_lossy(&line));
            if line.is_empty() {
                continue;
            }
            told(&line);
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() == KEPT {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    }

    /// The last lines.
    pub fn tail(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect::<Vec<_>>().join("\n")
    }
}

/// A line without what moves cursors and changes colours (ECMA-48), which would do so on the reader's terminal.
fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => match chars.next() {
                // A control sequence ends with a byte of its own range.
                Some('[') => drop(chars.by_ref().find(|c| ('@'..='~').contains(c))),
                // A string, up to the bell or its terminator.
                Some(']') => drop(chars.by_ref().find(|c| matches!(c, '\x07' | '\\'))),
                _ => {}
            },
            '\t' => out.push(' '),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_cursors_are_left_out() {
        assert_eq!(plain("[\x1b[0;32m  OK  \x1b[0m] Started \x1b[0;1;39mx\x1b[0m.\r"), "[  OK  ] Started x.");
        assert_eq!(plain("\x1b[2J\x1b[01;01H\x1b[=3h\x1bcabc\x1b]0;title\x07d"), "abcd");
        assert_eq!(plain("\x1b["), "");
    }

    #[test]
    fn the_last_lines_are_kept() {
        let console = Console::default();
        let text: String = (0..100).map(|n| format!("line {n}\n\n")).collect();
        console.follow(text.as_bytes(), &|_| {});
        let tail = console.tail();
        assert!(tail.starts_with("line 60\n") && tail.ends_with("line 99"), "{tail}");
    }
}
