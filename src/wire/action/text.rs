//! Parts of text files.

use regex_lite::Regex;
use serde::{Deserialize, Serialize};

use super::Presence;
use crate::{Error, Result};

/// `line`: one line in a text file, which otherwise stays as it is, byte for byte. Lines are compared without their ends.
///
/// Where `starts_with` or `regexp` is given, the last line that it finds becomes `line`. One that `line` itself does not
/// fit is at work only until `line` is there: `{regexp: ^#Port, line: Port 22}` takes one comment sign away, not one at
/// each run. Where nothing is found and `line` is not there, it is inserted.
///
/// Regular expressions are those of the crate [`regex_lite`]: Perl's, without look-around and back references; `\d`, `\s`,
/// `\w` and `(?i)` know ASCII only. They find their match anywhere in a line: anchor them with `^` and `$`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// An absolute path. A symbolic link is not followed: name the file itself.
    pub path: String,
    /// The line, without its end. May be left out where lines are only to be removed, with `absent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// The last line that begins so (after white space) is replaced by `line`; with `absent`, every such line is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_with: Option<String>,
    /// The last line that this regular expression matches is replaced by `line`; with `absent`, every such line is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regexp: Option<String>,
    /// A new line goes behind the last line that this regular expression matches; to the end where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insert_after: Option<String>,
    /// A new line goes before the first line that this regular expression matches; to the end where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insert_before: Option<String>,
    /// Make the file where it is missing.
    #[serde(default)]
    pub create: bool,
    /// A command that must succeed before the file is put in place; `%s` stands for the new file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<String>,
    /// Whether the line should be there. `absent` also removes every line that equals `line`.
    #[serde(default)]
    pub state: Presence,
}

impl Line {
    pub(super) fn check(&self) -> Result<()> {
        let names_lines = self.starts_with.is_some() || self.regexp.is_some();
        match (&self.line, self.state) {
            (None, Presence::Present) => Err(Error::input("this task does not say which `line` should be there")
                .hint("only with `state: absent` may it be left out")),
            (None, Presence::Absent) if !names_lines => {
                Err(Error::input("this task does not say which lines to remove")
                    .hint("give `line`, `starts_with` or `regexp`"))
            }
            _ => Ok(()),
        }
    }
}

/// `block_in_file`: lines of a text file between two marker lines; what stands outside of them stays as it is, byte for
/// byte. A file has one block for each marker. One that is there is changed in its place.
///
/// A beginning without an end, an end without a beginning, or several of either are an error that names the lines: what
/// of the file would be the block's is not guessed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockInFile {
    /// An absolute path. A symbolic link is not followed: name the file itself.
    pub path: String,
    /// The lines between the markers. Must be given unless the block is to be `absent`; an empty text is an empty block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The marker lines, where `{mark}` stands for `BEGIN` and `END`; `# {mark} stead block` where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker: Option<String>,
    /// A new block goes behind the last line that this regular expression matches; to the end where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insert_after: Option<String>,
    /// A new block goes before the first line that this regular expression matches; to the end where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insert_before: Option<String>,
    /// Make the file where it is missing.
    #[serde(default)]
    pub create: bool,
    /// A command that must succeed before the file is put in place; `%s` stands for the new file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<String>,
    /// Whether the block should be there; `absent` removes it with its markers.
    #[serde(default)]
    pub state: Presence,
}

impl BlockInFile {
    pub(super) fn check(&self) -> Result<()> {
        if self.content.is_none() && self.state == Presence::Present {
            return Err(Error::input("this block has no `content`").hint("`state: absent` removes a block"));
        }
        Ok(())
    }

    /// The lines before and behind the block.
    ///
    /// # Errors
    /// As [`check_marker`].
    pub fn markers(&self) -> Result<[String; 2]> {
        let marker = self.marker.as_deref().unwrap_or("# {mark} stead block");
        check_marker(marker)?;
        Ok(["BEGIN", "END"].map(|mark| marker.replace("{mark}", mark)))
    }
}

/// Reads a regular expression.
///
/// # Errors
/// Fails where it does not parse; and where it is empty, since it would match every line.
pub fn regexp(text: &str) -> Result<Regex> {
    if text.is_empty() {
        return Err(Error::input("an empty regular expression would match every line").hint("leave it out"));
    }
    Regex::new(text).map_err(|error| {
        Error::input(format!("{text:?} is not a regular expression"))
            .because(error)
            .hint("the syntax is Perl's, without look-around and back references: docs.rs/regex-lite")
    })
}

/// Checks a regular expression.
///
/// # Errors
/// As [`regexp`].
pub fn check_regexp(text: &str) -> Result<()> {
    regexp(text).map(drop)
}

/// Checks a block's marker: one line, which tells beginning and end apart.
///
/// # Errors
/// Fails where it is not.
pub fn check_marker(marker: &str) -> Result<()> {
    if marker.contains(['\n', '\r']) {
        return Err(Error::input("a marker is one line").hint("`content` takes the lines between the markers"));
    }
    if !marker.contains("{mark}") {
        return Err(Error::input(format!("the marker {marker:?} has no {{mark}}"))
            .hint("it stands for BEGIN and END: \"# {mark} of ours\""));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_that_does_not_parse_is_told_with_the_way_out() {
        assert!(check_regexp("^ *Port [0-9]+$").is_ok());
        for text in ["", "(", "(?=x)", r"(a)\1"] {
            let error = check_regexp(text).unwrap_err();
            assert!(!error.hints().is_empty() && error.kind() == crate::Kind::Input, "{text}");
        }
    }

    #[test]
    fn a_marker_tells_beginning_and_end_apart() {
        let markers = BlockInFile::default().markers().unwrap();
        assert_eq!(markers, ["# BEGIN stead block", "# END stead block"]);
        assert!(check_marker("; {mark}").is_ok() && check_marker("# block").is_err());
        assert!(check_marker("# {mark}\n#").is_err());
    }
}
