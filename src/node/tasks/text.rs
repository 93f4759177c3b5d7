//! Text files, of which a task changes some lines and leaves all else as it is, byte for byte.

use std::io::Read;

use super::{check_path, content};
use crate::error::Context;
use crate::node::files;
use crate::node::machine::{Change, Machine};
use crate::wire::action::{FileCommon, Presence, regexp};
use crate::{Error, Result};

/// How a task wants a text file edited.
#[derive(Debug, Default)]
pub(super) struct Edit<'a> {
    pub(super) path: &'a str,
    /// Make the file where it is missing.
    pub(super) create: bool,
    /// As [`FileCommon::validate`].
    pub(super) validate: Option<&'a String>,
    /// Whether something is put into the file or taken out; there is nothing to take out of one that is missing.
    pub(super) state: Presence,
}

/// What is to be changed for a text file to be as `edit` makes its lines.
pub(super) fn changes(
    machine: &Machine,
    wanted: &Edit<'_>,
    edit: impl FnOnce(&mut Lines) -> Result<()>,
) -> Result<Vec<Change>> {
    let old = read(machine, wanted.path)?;
    if old.is_none() {
        if wanted.state == Presence::Absent {
            return Ok(Vec::new());
        }
        if !wanted.create && !machine.may_come() {
            return Err(Error::failed(format!("{} is not there", wanted.path)).hint("say `create: true`"));
        }
        content::need_folder(machine, wanted.path, Presence::Present)?;
    }
    let mut lines = Lines::of(&old.unwrap_or_default());
    edit(&mut lines).with_context(|| format!("editing {}", wanted.path))?;
    let common = FileCommon { validate: wanted.validate.cloned(), ..FileCommon::default() };
    content::changes(machine, wanted.path, Some(lines.text().as_bytes()), &common)
}

/// A text file's content; none where it is missing.
pub(super) fn read(machine: &Machine, path: &str) -> Result<Option<String>> {
    let place = machine.paths.at(check_path(path)?);
    if let Some(left) = machine.foreseen.at(path) {
        return left.and_then(|left| left.content).map(|bytes| text(path, bytes)).transpose();
    }
    let found = match place.symlink_metadata() {
        Ok(found) => found,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(|| format!("looking at {path}")),
    };
    if found.is_symlink() {
        let target = fs_err::read_link(&place)?;
        return Err(Error::failed(format!("{path} is a symbolic link, and is not edited through it"))
            .hint(format!("name the file that it leads to: {}", target.display())));
    }
    if !found.is_file() {
        return Err(Error::failed(format!("{path} is not a file")));
    }
    let mut bytes = Vec::new();
    files::open_seen(&place, &found)?.read_to_end(&mut bytes).with_context(|| format!("reading {path}"))?;
    text(path, bytes).map(Some)
}

fn text(path: &str, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|&&byte| byte == b'\n').count() + 1;
        Error::failed(format!("{path} is not text in UTF-8: line {line} has other bytes"))
            .hint("convert it first (iconv), or give the whole file with a `file` task")
    })
}

/// A text's lines, each with its end: a new line, with or without a carriage return, or none for the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lines(Vec<String>);

impl Lines {
    /// The lines of a text.
    pub(super) fn of(text: &str) -> Self {
        Self(text.split_inclusive('\n').map(str::to_owned).collect())
    }

    /// The text again.
    pub(super) fn text(&self) -> String {
        self.0.concat()
    }

    /// The lines without their ends.
    pub(super) fn bodies(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.0.iter().map(|line| body(line))
    }

    /// Whether one of the lines is this.
    pub(super) fn contains(&self, line: &str) -> bool {
        self.bodies().any(|other| other == line)
    }

    /// Puts another line in the place of one, whose end stays.
    pub(super) fn replace(&mut self, at: usize, line: &str) {
        let old = body(&self.0[at]);
        if old != line {
            let end = match &self.0[at][old.len()..] {
                "" => self.end_at(at),
                end => end,
            };
            self.0[at] = format!("{line}{end}");
        }
    }

    /// Puts lines in the place of some, with ends as the lines around have them.
    pub(super) fn splice(&mut self, at: std::ops::Range<usize>, lines: &[&str]) {
        if lines.iter().copied().eq(self.bodies().skip(at.start).take(at.len())) {
            return;
        }
        let end = self.end_at(at.start).to_owned();
        if let Some(before) = at.start.checked_sub(1).map(|before| &mut self.0[before])
            && !lines.is_empty()
            && !before.ends_with('\n')
        {
            before.push_str(&end);
        }
        self.0.splice(at, lines.iter().map(|line| format!("{line}{end}")));
    }

    /// Keeps only some lines.
    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|line| keep(body(line)));
    }

    /// Where something new goes: behind the last line that `after` matches, before the first one that `before` matches, or
    /// to the end.
    ///
    /// # Errors
    /// Fails where these are no regular expressions, or both are given.
    pub(super) fn place(&self, after: Option<&str>, before: Option<&str>) -> Result<usize> {
        let at = match (after, before) {
            (None, None) => None,
            (Some(after), None) => {
                let after = regexp(after)?;
                self.bodies().rposition(|line| after.is_match(line)).map(|at| at + 1)
            }
            (None, Some(before)) => {
                let before = regexp(before)?;
                self.bodies().position(|line| before.is_match(line))
            }
            (Some(_), Some(_)) => return Err(Error::input("give `insert_after` or `insert_before`, not both")),
        };
        Ok(at.unwrap_or(self.0.len()))
    }

    /// How a line at this place ends: as the nearest one that has an end, those before it first.
    fn end_at(&self, at: usize) -> &'static str {
        let nearest = self.0[..at].iter().rev().chain(&self.0[at..]).find(|line| line.ends_with('\n'));
        if nearest.is_some_and(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" }
    }
}

/// A line without its end.
fn body(line: &str) -> &str {
    match line.strip_suffix('\n') {
        Some(body) => body.strip_suffix('\r').unwrap_or(body),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_come_with_the_ends_of_those_around() {
        let mut lines = Lines::of("a\r\nb\nc");
        assert_eq!(lines.bodies().collect::<Vec<_>>(), ["a", "b", "c"]);
        lines.splice(1..1, &["new"]);
        lines.splice(4..4, &["last"]);
        assert_eq!(lines.text(), "a\r\nnew\r\nb\nc\nlast\n");
        lines.replace(0, "x");
        lines.splice(1..3, &[]);
        assert_eq!(lines.text(), "x\r\nc\nlast\n");
        let mut empty = Lines::of("");
        empty.splice(0..0, &["one"]);
        assert_eq!(empty.text(), "one\n");
    }

    #[test]
    fn what_is_new_finds_its_place() {
        let lines = Lines::of("one\ntwo\none\n");
        assert_eq!(lines.place(Some("^one"), None).unwrap(), 3);
        assert_eq!(lines.place(None, Some("^one")).unwrap(), 0);
        assert_eq!(lines.place(Some("none"), None).unwrap(), 3);
        assert!(lines.place(Some("("), None).is_err() && lines.place(Some("a"), Some("b")).is_err());
    }

    proptest! {
        #[test]
        fn a_text_is_its_lines(text in "[ab\r\n]{0,40}") {
            prop_assert_eq!(Lines::of(&text).text(), text);
        }

        #[test]
        fn all_but_the_lines_that_change_stays(text in "([ab]{0,3}(\n|\r\n)){1,8}[ab]{0,2}", at in 0usize..9) {
            let before = Lines::of(&text);
            let at = at.min(before.0.len() - 1);
            let mut after = before.clone();
            after.splice(at..at, &["new"]);
            after.splice(at..at + 1, &[]);
            prop_assert_eq!(after, before);
        }
    }
}
