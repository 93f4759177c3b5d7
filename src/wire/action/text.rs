//! Parts of text files.

use serde::{Deserialize, Serialize};

use super::Presence;

/// `line`: one line in a text file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// An absolute path.
    pub path: String,
    /// The line, without its end.
    pub line: String,
    /// The last line that begins so (after white space) is replaced by `line`; with `absent`, every such line is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_with: Option<String>,
    /// Make the file where it is missing.
    #[serde(default)]
    pub create: bool,
    /// Whether the line should be there.
    #[serde(default)]
    pub state: Presence,
}
