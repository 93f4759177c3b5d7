//! `/etc/stead/node.json`: which node this is, and whose. The bootstrap writes it, nothing changes it.

use serde::{Deserialize, Serialize};

use super::Paths;
use crate::{Error, Result, atomic_file};

/// Which node this is, and whose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// The fleet's id.
    pub fleet: String,
    /// The node's id.
    pub node: String,
    /// The node's mark.
    pub mark: String,
    /// The public half of the fleet's envelope-signing key, in OpenSSH's format.
    pub signer: String,
}

impl NodeRecord {
    /// Reads the record.
    ///
    /// # Errors
    /// Fails where there is none, or it holds something else.
    pub fn read(paths: &Paths) -> Result<Self> {
        let path = paths.node_json();
        let contents = atomic_file::read(&path)?.ok_or_else(|| {
            Error::failed(format!("{path} is missing: this machine does not know which node it is"))
                .hint("the bootstrap writes that file; look for its errors with `cloud-init status --long`")
        })?;
        serde_json::from_slice(&contents)
            .map_err(|error| Error::failed(format!("{path} is not a node's record")).because(error))
    }
}
