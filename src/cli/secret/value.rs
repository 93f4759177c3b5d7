//! Reading a secret's value: from a pipe, or typed without being shown.

use std::io::{IsTerminal, Read};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::cli::printer::Printer;
use crate::redact::Secret;
use crate::wire::envelope::MAX_VALUE;
use crate::{Error, Result};

/// Reads a value on stdin. The line end after it is cut, since `echo` and people add one.
///
/// # Errors
/// Fails where there is none, or it is longer than a secret may be.
pub(super) fn read(printer: &Printer, slug: &str, name: &str) -> Result<Secret> {
    let stdin = std::io::stdin();
    let mut value = if stdin.is_terminal() {
        // Not with `say`: a silent prompt would look like a program that hangs.
        printer.prompt(format_args!("Value of {name} (not shown): "));
        let typed = typed(&stdin);
        printer.prompt("\n");
        typed?
    } else {
        // Room for all of it, so that no copy is left behind by growing.
        let mut piped = Zeroizing::new(Vec::with_capacity(MAX_VALUE + 2));
        stdin.lock().take(MAX_VALUE as u64 + 2).read_to_end(&mut piped)?;
        piped
    };
    cut_line_end(&mut value);
    if value.is_empty() {
        return Err(Error::input(format!("no value for {name} came on stdin; an empty one is none")).hint(format!(
            "pipe it in (`pass show api-key | stead secret set {slug} {name}`), or type it when asked"
        )));
    }
    if value.len() > MAX_VALUE {
        return Err(Error::input(format!("the value of {name} is longer than {} KiB", MAX_VALUE >> 10))
            .hint("a secret is a key or a small file; larger data goes onto the node by other ways"));
    }
    Ok(Secret::new(std::mem::take(&mut *value)))
}

fn cut_line_end(value: &mut Vec<u8>) {
    if value.last() == Some(&b'\n') {
        value.pop();
        if value.last() == Some(&b'\r') {
            value.pop();
        }
    }
}

/// The terminal with echo off, until dropped.
struct Silent<'a>(&'a std::io::Stdin, Termios);

impl<'a> Silent<'a> {
    fn new(stdin: &'a std::io::Stdin) -> Result<Self> {
        let before = tcgetattr(stdin).map_err(std::io::Error::from)?;
        let mut silent = before.clone();
        // Keys come one by one, also Ctrl-C: ended by a signal, the program would leave the terminal without echo. A
        // terminal that gathers lines would moreover cut them at 4095 characters.
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(stdin, OptionalActions::Flush, &silent).map_err(std::io::Error::from)?;
        Ok(Self(stdin, before))
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        // Where the terminal has gone away, there is nobody to show anything.
        let _ = tcsetattr(self.0, OptionalActions::Now, &self.1);
    }
}

fn typed(stdin: &std::io::Stdin) -> Result<Zeroizing<Vec<u8>>> {
    let _silent = Silent::new(stdin)?;
    let mut keys = Zeroizing::new([0; 256]);
    let mut value = Zeroizing::new(Vec::with_capacity(MAX_VALUE + 2));
    loop {
        // Past std's buffer, which nobody would wipe.
        let count = rustix::io::read(stdin, &mut *keys).map_err(std::io::Error::from)?;
        if count == 0 {
            return Ok(value);
        }
        for &key in &keys[..count] {
            match key {
                b'\r' | b'\n' | 4 => return Ok(value),
                3 => return Err(Error::input("cancelled; nothing was changed")),
                8 | 127 => drop(value.pop()),
                // Ctrl-U: from the beginning.
                21 => value.clear(),
                _ if value.len() <= MAX_VALUE => value.push(key),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_cut_and_no_more() {
        for (given, expected) in
            [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), ("\n", ""), ("a\nb\n", "a\nb"), ("a\r", "a\r")]
        {
            let mut value = given.as_bytes().to_vec();
            cut_line_end(&mut value);
            assert_eq!(value, expected.as_bytes(), "{given:?}");
        }
    }
}
