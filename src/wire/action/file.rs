//! Files, folders and links.

use serde::{Deserialize, Serialize};

use super::Presence;

/// `file`: a file's content, owner and mode. Without content only owner and mode are looked after.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// An absolute path.
    pub path: String,
    /// The content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// In a playbook, a file in the fleet's folder; in a plan, the hash of its content among the plan's blobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Owner, group, mode and the rest.
    #[serde(flatten)]
    pub common: FileCommon,
}

/// `template`: as `file`, with content rendered from a template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// An absolute path.
    pub path: String,
    /// In a playbook, a template in the fleet's `templates/`; in a plan, the hash of its text among the plan's blobs.
    pub template: String,
    /// Owner, group, mode and the rest.
    #[serde(flatten)]
    pub common: FileCommon,
}

/// What `file` and `template` have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCommon {
    /// A user's name or number; as it is (root for a new file) where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// A group's name or number; as it is (root for a new file) where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Octal digits in a string; as it is (0644 for a new file) where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// A command that must succeed before the file is put in place; `%s` stands for the new file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<String>,
    /// Keep what was there before beside it, as `PATH.stead~`.
    #[serde(default)]
    pub backup: bool,
    /// Whether the file should be there.
    #[serde(default)]
    pub state: Presence,
}

/// `directory`: a folder; parents that are missing are made with it (0755, root).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// An absolute path.
    pub path: String,
    /// A user's name or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// A group's name or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Octal digits in a string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Owner and group hold for everything below as well; the mode does not.
    #[serde(default)]
    pub recurse: bool,
    /// Whether the folder should be there; `absent` removes it with all that is in it.
    #[serde(default)]
    pub state: Presence,
}

/// `symlink`: a symbolic link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Symlink {
    /// An absolute path.
    pub path: String,
    /// What it points to, as written; need not exist.
    #[serde(default)]
    pub target: String,
    /// Whether the link should be there.
    #[serde(default)]
    pub state: Presence,
}
