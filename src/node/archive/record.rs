//! What archives brought to a folder, remembered: whether there is something to do, and what goes when it shall.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Context;
use crate::node::{Paths, files};
use crate::{Error, Result};

/// The version of the file.
const VERSION: u32 = 1;

/// What was unpacked to one folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    /// The folder.
    path: String,
    /// What was unpacked last, and how.
    pub(crate) what: What,
    /// The names, below the folder, of what is ours there; `.` where the folder itself is.
    pub(crate) brought: BTreeSet<String>,
}

/// An archive, and how it is unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct What {
    /// The archive's SHA-256, in hexadecimal digits.
    pub(crate) sha256: String,
    pub(crate) strip: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Record {
    pub(crate) fn new(path: &str, what: What, brought: BTreeSet<String>) -> Self {
        Self { version: VERSION, path: path.to_owned(), what, brought }
    }

    /// The record of a folder.
    ///
    /// # Errors
    /// Fails where it cannot be read, or is a newer agent's.
    pub(crate) fn load(paths: &Paths, path: &str) -> Result<Option<Self>> {
        let place = place(paths, path);
        let text = match fs_err::read(&place) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("reading what was unpacked"),
        };
        let record: Self = serde_json::from_slice(&text).map_err(|error| {
            Error::failed(format!("{place} is not what this agent wrote"))
                .because(error)
                .hint(format!("remove it: what was unpacked to {path} is then unpacked anew"))
        })?;
        match record.version {
            VERSION => Ok(Some(record)),
            other => Err(Error::failed(format!("{place} was written in version {other}"))
                .hint("a newer stead has worked on this node: use that one")),
        }
    }

    pub(crate) fn save(&self, paths: &Paths) -> Result<()> {
        let text =
            serde_json::to_vec(self).map_err(|error| Error::failed("noting what was unpacked").because(error))?;
        files::make_folder(&paths.archives_dir(), 0o700)?;
        files::replace(&place(paths, &self.path), &text, 0o600)
    }

    pub(crate) fn forget(&self, paths: &Paths) -> Result<()> {
        files::remove(&place(paths, &self.path))
    }
}

/// A folder's path is no name of a file; its hash is.
fn place(paths: &Paths, path: &str) -> Utf8PathBuf {
    let hash = hex::encode(Sha256::digest(path.trim_end_matches('/')));
    paths.archives_dir().join(format!("{}.json", &hash[..32]))
}
