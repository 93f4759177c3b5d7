//! A local node's folder: what it is made of, and whether it runs.
//!
//! ```text
//! .stead/nodes/MARK/
//!     machine.json       what the supervisor needs to start it
//!     upper/ work/       what the node has written over its image
//!     root/              where the overlay is mounted, inside the supervisor's mount namespace only
//!     netns              where the node's network is held, likewise
//!     console.log        what the node said on its console
//!     supervisor.lock    locked as long as the supervisor lives, and holds its process id
//! ```
//!
//! A folder becomes visible under its mark when it is whole, and is renamed away before it is removed.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use ipnet::IpNet;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::cgroup::Limits;
use crate::error::Context;
use crate::id::Mark;
use crate::{Error, Result};

/// How long a lock may be in somebody's way who only asks.
const PATIENCE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(5);

/// What is needed to start a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct MachineFile {
    /// Whose machine it is.
    pub(super) mark: Mark,
    /// What it calls itself at first; cloud-init may change it.
    pub(super) hostname: String,
    /// The machine id (RFC 4122 UUID), stable over reboots, since the host key of systemd's credentials hangs on it.
    pub(super) uuid: uuid::Uuid,
    /// The node's number in the fleet's subnets.
    pub(super) number: u8,
    /// Addresses with their prefix lengths.
    pub(super) addresses: Vec<IpNet>,
    /// The bridge that it is connected to.
    pub(super) bridge: String,
    /// The image's layers, topmost first.
    pub(super) layers: Vec<Utf8PathBuf>,
    /// How much of the host it may use.
    #[serde(default)]
    pub(super) limits: Option<Limits>,
}

/// A node's folder.
#[derive(Debug, Clone)]
pub(super) struct MachineDir(Utf8PathBuf);

impl MachineDir {
    /// The folder of the node with this mark under `nodes`; it need not exist.
    pub(super) fn new(nodes: &Utf8Path, mark: &Mark) -> Self {
        Self(nodes.join(mark.as_str()))
    }

    /// A folder given by its path, as the supervisor gets it.
    pub(super) fn at(path: Utf8PathBuf) -> Self {
        Self(path)
    }

    /// The folder's path.
    pub(super) fn path(&self) -> &Utf8Path {
        &self.0
    }

    /// A file or folder in it.
    pub(super) fn join(&self, name: &str) -> Utf8PathBuf {
        self.0.join(name)
    }

    /// Reads `machine.json`; `None` where there is no such machine.
    ///
    /// # Errors
    /// Fails where the file is broken.
    pub(super) fn read(&self) -> Result<Option<MachineFile>> {
        let path = self.join("machine.json");
        match fs_err::read(&path) {
            Ok(json) => serde_json::from_slice(&json).map(Some).map_err(|error| {
                Error::failed(format!("{path} is broken"))
                    .because(error)
                    .hint("`stead down` removes the node, `stead up` makes it anew")
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the supervisor's lock and writes the process id into it. `None` where another supervisor has it.
    ///
    /// # Errors
    /// Fails as the file system does.
    pub(super) fn lock(&self) -> Result<Option<fs_err::File>> {
        use std::io::Write;
        let mut file =
            fs_err::OpenOptions::new().create(true).write(true).truncate(false).open(self.join("supervisor.lock"))?;
        // Someone who only asks holds it for an instant.
        let deadline = Instant::now() + PATIENCE;
        loop {
            match rustix::fs::flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => std::thread::sleep(POLL),
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(error) => return Err(std::io::Error::from(error)).context("locking the node's supervisor"),
            }
        }
        file.set_len(0)?;
        write!(file, "{}", std::process::id())?;
        Ok(Some(file))
    }

    /// The supervisor's process id, where one is alive.
    ///
    /// # Errors
    /// Fails as the file system does.
    pub(super) fn supervisor(&self) -> Result<Option<i32>> {
        let path = self.join("supervisor.lock");
        let file = match fs_err::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            // A lock that can be had is nobody's: its supervisor is dead, whatever the file says.
            match rustix::fs::flock(file.as_fd(), FlockOperation::NonBlockingLockShared) {
                Ok(()) => return Ok(None),
                Err(rustix::io::Errno::WOULDBLOCK) => {}
                Err(error) => return Err(std::io::Error::from(error).into()),
            }
            // Empty for the instant between taking the lock and writing the id.
            if let Ok(pid) = fs_err::read_to_string(&path)?.trim().parse() {
                return Ok(Some(pid));
            }
            if Instant::now() > deadline {
                return Err(Error::failed(format!("{path} is locked, and does not say by whom")));
            }
            std::thread::sleep(POLL);
        }
    }
}
