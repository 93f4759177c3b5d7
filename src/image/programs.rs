//! The programs that images carry: the node agent and the workload.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// A program for nodes.
#[derive(Debug, Clone)]
pub struct Program {
    /// Where it lies on this machine.
    pub path: Utf8PathBuf,
    /// Its content.
    pub bytes: Arc<[u8]>,
    /// SHA-256 of its content, in hexadecimal digits.
    pub sha256: String,
}

/// The programs for one architecture.
#[derive(Debug, Clone)]
pub struct Programs {
    /// Debian's name of the architecture.
    pub arch: String,
    /// `stead-node`.
    pub node: Program,
    /// `stead-agent`.
    pub workload: Program,
}

impl Programs {
    /// Reads the programs for `arch` from `agents_dir`.
    ///
    /// # Errors
    /// Fails where they are not there, and says how they are made.
    pub fn load(agents_dir: &Utf8Path, arch: &str) -> Result<Self> {
        let load = |name: &str| {
            let path = agents_dir.join(arch).join(name);
            let bytes: Arc<[u8]> = fs_err::read(&path)
                .map_err(|error| {
                    Error::failed(format!("{name} for {arch} is missing")).because(error).hint(
                        "it belongs into `agents/` beside the stead program; `./just build` makes it, STEAD_AGENTS_DIR names another folder",
                    )
                })?
                .into();
            let sha256 = hex::encode(Sha256::digest(&bytes));
            Ok::<_, Error>(Program { path, bytes, sha256 })
        };
        Ok(Self { arch: arch.to_owned(), node: load("stead-node")?, workload: load("stead-agent")? })
    }
}
