//! The only place that writes to the terminal: data to stdout, talk to stderr.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::{Error, Result};

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ColorChoice {
    /// Where stderr is a terminal and `NO_COLOR` is not set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Says what the program has to say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Printer {
    /// Data as JSON.
    pub(super) json: bool,
    /// Only data and errors.
    pub(super) quiet: bool,
}

const HINT: Style = AnsiColor::Cyan.on_default().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// For what is well.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// For what changes.
pub(super) const CHANGE: Style = AnsiColor::Yellow.on_default();
/// For what failed.
pub(super) const BAD: Style = AnsiColor::Red.on_default();
/// For names in headings.
pub(super) const BOLD: Style = Style::new().bold();

impl Printer {
    /// Decides on colour for the whole process.
    pub(super) fn new(json: bool, quiet: bool, color: ColorChoice) -> Self {
        let choice = match color {
            ColorChoice::Auto => anstream::ColorChoice::Auto,
            ColorChoice::Always => anstream::ColorChoice::Always,
            ColorChoice::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
        Self { json, quiet }
    }

    /// Prints data: one JSON document with `--json`, the text for people without.
    ///
    /// # Errors
    /// Fails where stdout does; a reader that has gone away (`| head`) is no error.
    pub(super) fn data(&self, json: &(impl Serialize + ?Sized), text: impl Display) -> Result<()> {
        let text = if self.json {
            serde_json::to_string(json).map_err(|error| Error::failed("encoding the output").because(error))?
        } else {
            text.to_string()
        };
        if text.is_empty() {
            return Ok(());
        }
        let mut stdout = anstream::stdout().lock();
        let newline = if text.ends_with('\n') { "" } else { "\n" };
        match write!(stdout, "{text}{newline}").and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Prints a document as it is.
    ///
    /// # Errors
    /// Fails where stdout does; a reader that has gone away is no error.
    pub(super) fn raw(&self, document: &[u8]) -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(document).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Says something about the work, unless `--quiet`.
    pub(super) fn say(&self, text: impl Display) {
        if !self.quiet {
            self.stderr(format_args!("{text}"));
        }
    }

    /// Asks: as it is, without a line end, also with `--quiet`.
    pub(super) fn prompt(&self, text: impl Display) {
        let mut stderr = anstream::stderr().lock();
        // Nobody is left to be asked where stderr is closed.
        let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
    }

    /// Warns.
    pub(super) fn warn(&self, text: impl Display) {
        self.stderr(format_args!("{WARNING}warning:{WARNING:#} {text}"));
    }

    /// Tells an error: message, causes, and the way out.
    pub(super) fn error(&self, error: &Error) {
        if self.json {
            let document = serde_json::json!({
                "error": {"message": error.one_line(), "hints": error.hints(), "exit_code": error.kind().exit_code()}
            });
            self.stderr(format_args!("{document}"));
            return;
        }
        self.stderr(format_args!("{ERROR}error:{ERROR:#} {error}"));
        let mut cause = std::error::Error::source(error);
        let mut above = error.to_string();
        while let Some(this) = cause {
            let text = this.to_string();
            // Some libraries repeat their cause in their own message.
            if !above.contains(&text) {
                let mut lines = text.lines();
                self.stderr(format_args!("  because: {}", lines.next().unwrap_or_default()));
                lines.for_each(|line| self.stderr(format_args!("           {line}")));
            }
            above = text;
            cause = this.source();
        }
        for hint in error.hints() {
            self.stderr(format_args!("{HINT}hint:{HINT:#} {hint}"));
        }
    }

    /// Whether people look at stderr live.
    pub(super) fn live(&self) -> bool {
        !self.quiet && !self.json && std::io::stderr().is_terminal()
    }

    fn stderr(&self, text: std::fmt::Arguments<'_>) {
        // Nobody is left to be told that stderr is closed.
        let _ = writeln!(anstream::stderr().lock(), "{text}");
    }
}

/// A table for people: columns as wide as their widest cell, no lines.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row.get(column).map_or(0, |cell| cell.chars().count()));
        cells.chain([heading[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = format!("{BOLD}{}{BOLD:#}", line(&mut heading.iter().copied()));
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up() {
        let text = table(&["NAME", "N"], &[vec!["a-long-name".into(), "1".into()], vec!["b".into(), "22".into()]]);
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(plain, "NAME         N\na-long-name  1\nb            22\n");
    }
}
