//! What is fetched, and what is unpacked.

use serde::{Deserialize, Serialize};

use super::{FileCommon, Presence};

/// `download`: a file from elsewhere, known by its hash. Nothing is fetched where the file has that hash already, nor in a
/// check. apt's own fetcher does it, with apt's proxy and its passwords (apt_auth.conf(5)); `https` needs the package
/// `ca-certificates`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Download {
    /// Where it lies: `https://…`, `http://…`, or `file:///…` for a file on the node.
    pub url: String,
    /// An absolute path.
    pub path: String,
    /// The SHA-256 of its content: 64 hexadecimal digits.
    pub sha256: String,
    /// Owner, group, mode and the rest.
    #[serde(flatten)]
    pub common: FileCommon,
}

/// `archive`: what is in a tar archive (as it is, or packed by gzip, xz or zstd), below a folder. Nothing is unpacked where
/// this archive was before and the folder is there.
///
/// Nothing in an archive leads out of the folder: absolute names, `..`, links to elsewhere and device nodes are errors, and
/// then nothing of it is unpacked. All of it gets one owner; of the modes stays what lets others read and run, no set-id
/// bit. What is unpacked over a folder that is there replaces files, and leaves those that the archive does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// An absolute path on the node; or, in a playbook, a file in the fleet's folder: then in a plan the hash of its content
    /// among the plan's blobs.
    pub source: String,
    /// The folder, by its absolute path; made with its parents where it is missing (0755).
    pub path: String,
    /// How many leading parts of each name in the archive are left out (`.` is none); what has no more than these is left
    /// out whole.
    #[serde(default)]
    pub strip: u32,
    /// Nothing to do where this path exists, whatever was unpacked before. The archive must bring it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creates: Option<String>,
    /// A user's name or number; root where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// A group's name or number; root where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// `absent` removes what such a task unpacked to `path`, and nothing that others put there.
    #[serde(default)]
    pub state: Presence,
}

impl Archive {
    /// The source's hash, where it is one of the plan's blobs.
    pub fn blob(&self) -> Option<&str> {
        let is_hash = self.source.len() == 64 && self.source.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        is_hash.then_some(self.source.as_str())
    }
}
