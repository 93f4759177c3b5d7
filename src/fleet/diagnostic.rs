//! What is wrong with an operator's files, told all at once.
//!
//! A loader does not stop at the first mistake: it reports to a [`Diagnostics`], goes on, and in the end
//! [`Diagnostics::into_result`] gives either the value or one [`Error`] that shows every mistake with its line.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use crate::{Error, Result};

/// A file that is being read: its path within the fleet's folder, and its text.
#[derive(PartialEq, Eq)]
pub struct Source {
    path: Utf8PathBuf,
    text: String,
    /// The byte at which each line begins; messages about the last line of a long file come as fast as the first's.
    starts: Vec<usize>,
}

impl Source {
    /// A file to read from.
    pub fn new(path: impl Into<Utf8PathBuf>, text: impl Into<String>) -> Arc<Self> {
        let text = text.into();
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Arc::new(Self { path: path.into(), text, starts })
    }

    /// The path, as messages show it.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A line's text without its end, counted from 1; empty where there is no such line.
    pub fn line(&self, number: u32) -> &str {
        let number = number as usize;
        let Some(&start) = self.starts.get(number.saturating_sub(1)) else { return "" };
        let end = self.starts.get(number).map_or(self.text.len(), |next| next - 1);
        self.text[start..end].trim_end_matches('\r')
    }
}

/// A place in a file. It keeps its file alive, so that a message can show the line long after the file was read.
#[derive(Clone, PartialEq, Eq)]
pub struct Span {
    /// The file.
    pub source: Arc<Source>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// How many characters on that line, at least 1.
    pub length: u32,
}

impl Span {
    /// The first character of a file: where a message points that speaks of the whole file.
    pub fn start_of(source: &Arc<Source>) -> Self {
        Self { source: source.clone(), line: 1, column: 1, length: 1 }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source.path, self.line, self.column)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One mistake: where it is, what is wrong, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where.
    pub span: Span,
    /// What is wrong, as one line without a full stop.
    pub message: String,
    /// The way out.
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Span { source, line, column, length } = &self.span;
        writeln!(f, "{}: {}", self.span, self.message)?;
        let text = source.line(*line);
        let before = (*column as usize).saturating_sub(1);
        let number = line.to_string();
        let gutter = number.len().max(5);
        if text.trim().is_empty() {
            write!(f, "{number:>gutter$} |")?;
        } else {
            // Tabs stay tabs above and below, so that the marks stand under what they mean; other control characters
            // would reach the reader's terminal.
            let shown: String =
                text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect();
            let indent: String = text.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            let rest = text.chars().count().saturating_sub(before).max(1);
            let marks = "^".repeat((*length as usize).clamp(1, rest));
            write!(f, "{number:>gutter$} | {shown}\n{:>gutter$} | {indent}{marks}", "")?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n   hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Collects mistakes. Shared by reference, so that any number of readers can report to it.
#[derive(Debug, Default)]
pub struct Diagnostics(RefCell<Vec<Diagnostic>>);

impl Diagnostics {
    /// None so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reports a mistake.
    pub fn error(&self, span: &Span, message: impl Into<String>) {
        self.push(Diagnostic { span: span.clone(), message: message.into(), hint: None });
    }

    /// Reports a mistake with the way out.
    pub fn error_hint(&self, span: &Span, message: impl Into<String>, hint: impl Into<String>) {
        self.push(Diagnostic { span: span.clone(), message: message.into(), hint: Some(hint.into()) });
    }

    /// Reports a mistake.
    pub fn push(&self, diagnostic: Diagnostic) {
        let mut all = self.0.borrow_mut();
        // What an alias repeats is wrong once.
        if !all.contains(&diagnostic) {
            all.push(diagnostic);
        }
    }

    /// Whether nothing was reported.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// How many mistakes were reported.
    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// The value, or one error (of kind input) that shows all mistakes by file and position.
    ///
    /// # Errors
    /// Fails where anything was reported, and where there is no value.
    pub fn into_result<T>(self, value: Option<T>) -> Result<T> {
        let mut all = self.0.into_inner();
        if all.is_empty() {
            return value.ok_or_else(|| Error::input("there is nothing in the file to read"));
        }
        all.sort_by(|a, b| {
            let key = |d: &Diagnostic| (d.span.line, d.span.column);
            a.span.source.path.cmp(&b.span.source.path).then_with(|| key(a).cmp(&key(b)))
        });
        let mut text = all.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n");
        if all.len() > 1 {
            let mut files: Vec<_> = all.iter().map(|d| &d.span.source.path).collect();
            files.dedup();
            let plural = if files.len() == 1 { "" } else { "s" };
            text.push_str(&format!("\n{} errors in {} file{plural}", all.len(), files.len()));
        }
        Err(Error::input(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_every_mistake_in_order_and_counts_them() {
        let (a, b) = (Source::new("a.yaml", "x: 1\n\tyy: 2\n"), Source::new("b.yaml", ""));
        let diagnostics = Diagnostics::new();
        diagnostics.error(&Span::start_of(&b), "the file is empty");
        diagnostics.error_hint(&Span { source: a, line: 2, column: 2, length: 2 }, "unknown key \"yy\"", "say \"y\"");
        let error = diagnostics.into_result(Some(())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a.yaml:2:2: unknown key \"yy\"\n    2 | \tyy: 2\n      | \t^^\n   hint: say \"y\"\n\
             b.yaml:1:1: the file is empty\n    1 |\n2 errors in 2 files"
        );
        assert_eq!(error.kind(), crate::Kind::Input);
    }

    #[test]
    fn one_mistake_is_not_counted_and_none_gives_the_value() {
        let diagnostics = Diagnostics::new();
        assert_eq!(diagnostics.into_result(Some(1)).unwrap(), 1);
        let diagnostics = Diagnostics::new();
        let span = Span::start_of(&Source::new("a.yaml", "abc"));
        diagnostics.error(&span, "wrong");
        diagnostics.error(&span, "wrong");
        assert_eq!(
            diagnostics.into_result(Some(1)).unwrap_err().to_string(),
            "a.yaml:1:1: wrong\n    1 | abc\n      | ^"
        );
    }
}
