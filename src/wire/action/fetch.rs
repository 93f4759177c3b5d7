//! What is fetched, and what is unpacked.

use serde::{Deserialize, Serialize};

use super::FileCommon;

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
