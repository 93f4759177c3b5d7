//! Errors for the reader.
//!
//! One type serves every room whose callers only pass an error on: a [`Kind`] that decides the exit code, a message, the
//! causes below it, and hints with the way out. A room whose callers *match* on what went wrong (an SSH connection
//! refused or a host key that is wrong) defines its own `thiserror` enum and a `From` into this type.

use std::fmt;

/// What an error means to whoever started the program; it decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The work was understood and did not succeed: exit code 1.
    Failed,
    /// Wrong usage or wrong input; nothing was changed: exit code 2.
    Input,
    /// As [`Kind::Input`], because what is there already stands in the way: exit code 2.
    Conflict,
    /// Changes are pending (`plan`, `--check`): exit code 3.
    Pending,
    /// As [`Kind::Failed`], because a machine does not answer: exit code 1. It may answer when it is asked again.
    Unreachable,
    /// As [`Kind::Failed`], because the store's database does not answer now: exit code 1. Nothing was changed, or it is
    /// not known whether it was; the same again is safe.
    Unavailable,
}

impl Kind {
    /// The process exit code for this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Failed | Kind::Unreachable | Kind::Unavailable => 1,
            Kind::Input | Kind::Conflict => 2,
            Kind::Pending => 3,
        }
    }
}

/// The kinds, by the words that records have for them.
const WORDS: [(Kind, &str); 6] = [
    (Kind::Failed, "failed"),
    (Kind::Input, "input"),
    (Kind::Conflict, "conflict"),
    (Kind::Pending, "pending"),
    (Kind::Unreachable, "unreachable"),
    (Kind::Unavailable, "unavailable"),
];

impl Kind {
    /// The word that records have for it.
    pub fn word(self) -> &'static str {
        WORDS.iter().find(|(kind, _)| *kind == self).map_or("failed", |(_, word)| word)
    }

    /// The kind that a record's word stands for; of one that this program does not know it knows that something failed.
    pub fn of_word(word: &str) -> Self {
        WORDS.iter().find(|(_, known)| *known == word).map_or(Kind::Failed, |(kind, _)| *kind)
    }
}

/// An error with its causes and the way out.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    message: String,
    hints: Vec<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of anything that fails with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of the given kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, message: message.into(), hints: Vec::new(), source: None }))
    }

    /// The work did not succeed (exit code 1).
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// What the user gave is wrong (exit code 2).
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Kind::Input, message)
    }

    /// What is there already stands in the way (exit code 2).
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }

    /// Adds a hint: one sentence that tells the reader what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(hint.into());
        self
    }

    /// Sets the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Puts a message that says what was being done above this error; kind and hints stay.
    #[must_use]
    pub fn context(mut self, message: impl Into<String>) -> Self {
        let (kind, hints) = (self.0.kind, std::mem::take(&mut self.0.hints));
        Error(Box::new(Inner { kind, message: message.into(), hints, source: Some(Box::new(self)) }))
    }

    /// What the error means to whoever started the program.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The hints, in the order in which they should be read.
    pub fn hints(&self) -> &[String] {
        &self.0.hints
    }

    /// The message followed by every cause, joined by `: `; for places that have one line.
    pub fn one_line(&self) -> String {
        let mut line = self.0.message.clone();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let text = error.to_string();
            // Libraries repeat their cause in their own message; once is enough.
            if !line.ends_with(&text) {
                line.push_str(": ");
                line.push_str(&text);
            }
            cause = error.source();
        }
        line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.one_line())?;
        self.0.hints.iter().try_for_each(|hint| write!(f, "\nhint: {hint}"))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source.as_ref() as _)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        let hint = match error.kind() {
            std::io::ErrorKind::StorageFull => {
                Some("free some space on that file system, then run the same command again")
            }
            std::io::ErrorKind::PermissionDenied => Some("run the command as the file's owner, or as root"),
            _ => None,
        };
        let failed = Error::failed(error.to_string());
        match hint {
            Some(hint) => failed.hint(hint),
            None => failed,
        }
    }
}

/// Says what was being done when something failed.
pub trait Context<T> {
    /// Puts `message` above the error.
    fn context(self, message: impl Into<String>) -> Result<T>;
    /// As [`Context::context`], with a message that costs something to make.
    fn with_context<M: Into<String>>(self, message: impl FnOnce() -> M) -> Result<T>;
}

impl<T> Context<T> for Result<T, Error> {
    fn context(self, message: impl Into<String>) -> Result<T> {
        self.map_err(|error| error.context(message))
    }

    fn with_context<M: Into<String>>(self, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|error| error.context(message()))
    }
}

impl<T> Context<T> for Result<T, std::io::Error> {
    fn context(self, message: impl Into<String>) -> Result<T> {
        self.map_err(|error| Error::from(error).context(message))
    }

    fn with_context<M: Into<String>>(self, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|error| Error::from(error).context(message()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_keeps_kind_hints_and_causes() {
        let error = Error::input("no such tier").hint("define it under tiers").context("reading stead.yaml");
        assert_eq!(error.kind().exit_code(), 2);
        assert_eq!(error.hints(), ["define it under tiers"]);
        assert_eq!(error.one_line(), "reading stead.yaml: no such tier");
    }

    #[test]
    fn a_full_disk_says_the_way_out() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = Err::<(), _>(full).context("writing the seed").unwrap_err();
        assert_eq!(error.kind(), Kind::Failed);
        assert!(error.hints()[0].contains("free some space"));
    }
}
