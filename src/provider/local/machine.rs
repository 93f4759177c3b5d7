//! A local node's folder: what it is made of, and whether it runs.
//!
//! ```text
//! .stead/nodes/MARK/
//!     machine.json       what the supervisor needs to start it
//!     upper/ work/       of a container: what the node has written over its image
//!     root/              of a container: where the overlay is mounted, inside the supervisor's mount namespace only
//!     netns              of a container: where the node's network is held, likewise
//!     disk.qcow2         of a virtual machine: its own disk
//!     seed.img           of a virtual machine: what cloud-init finds at the first boot
//!     console.log        what the node said on its console
//!     supervisor.lock    locked as long as the supervisor lives, and holds its process id
//! ```
//!
//! A folder becomes visible under its mark when it is whole, and is renamed away before it is removed.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use ipnet::IpNet;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::cgroup::Limits;
use crate::error::Context;
use crate::id::Mark;
use crate::image::vm::qemu::Firmware;
use crate::{Error, Result};

/// Where containers' sshd listens.
const SSH_PORT: u16 = 22;
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
    /// What it runs as.
    #[serde(flatten)]
    pub(super) form: Form,
}

/// What a node runs as.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Form {
    /// systemd-nspawn.
    Container(Container),
    /// QEMU.
    Vm(Vm),
}

/// What is needed to start a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Container {
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

/// What is needed to start a virtual machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Vm {
    /// What it boots with.
    pub(super) firmware: Firmware,
    /// Processors.
    pub(super) vcpus: u32,
    /// Memory, in bytes.
    pub(super) memory: u64,
    /// The port on this host's loopback that leads to its sshd.
    pub(super) ssh_port: u16,
}

impl MachineFile {
    /// Where it is reached.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        match &self.form {
            Form::Container(container) => container.addresses.iter().map(IpNet::addr).collect(),
            Form::Vm(_) => vec![Ipv4Addr::LOCALHOST.into()],
        }
    }

    /// The port of its sshd there.
    pub(super) fn ssh_port(&self) -> u16 {
        match &self.form {
            Form::Container(_) => SSH_PORT,
            Form::Vm(vm) => vm.ssh_port,
        }
    }
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

    /// Whether the machine is this user's own. Root, too, runs no one else's: what lies in the folder is theirs to write.
    ///
    /// # Errors
    /// Fails where it is another's, with the way out.
    pub(super) fn check_owner(&self) -> Result<()> {
        let (owner, own) = (fs_err::metadata(&self.0)?.uid(), rustix::process::geteuid().as_raw());
        if owner == own {
            return Ok(());
        }
        let error = Error::failed(format!("the node in {} belongs to another user (uid {owner})", self.0));
        Err(error.hint(if owner == 0 { "run the same command with sudo" } else { "run the same command as that user" }))
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
