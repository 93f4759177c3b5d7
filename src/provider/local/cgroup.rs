//! One control group per node, so that a node can be ended as a whole and two nodes' systemds do not share a tree.

use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::spawn::systemd_is_pid_1;

use crate::error::Context;
use crate::id::Mark;
use crate::{Error, Result};

/// The old hierarchy of devices, where the host has it; the new one knows device rules only as programs that systemd
/// attaches.
const DEVICES: &str = "/sys/fs/cgroup/devices";

/// The devices that a node may use: what systemd's own template for containers allows (systemd-nspawn@.service), without
/// the host's loop devices and tunnels. Nodes of any device may be made, so that archives unpack; opening is another matter.
const ALLOWED: [&str; 10] = [
    "b *:* m",
    "c *:* m",
    "c 1:3 rwm",   // null
    "c 1:5 rwm",   // zero
    "c 1:7 rwm",   // full
    "c 1:8 rwm",   // random
    "c 1:9 rwm",   // urandom
    "c 5:0 rwm",   // tty
    "c 5:2 rwm",   // ptmx
    "c 136:* rwm", // pts
];

/// How much of the host a node may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Limits {
    /// Processors.
    pub(super) vcpus: u32,
    /// Memory in bytes.
    pub(super) memory: u64,
}

/// As many processes as a node may have; a fork bomb ends there.
const PROCESSES: u32 = 4096;
/// The period in which processor time is measured, in microseconds (cpu.max in the kernel's cgroup-v2 documentation).
const PERIOD: u32 = 100_000;

/// A node's control groups: one in the new hierarchy, and the same name in old ones that matter.
#[derive(Debug)]
pub(super) struct Cgroup(Utf8PathBuf);

impl Cgroup {
    /// The groups of the node with this mark; they need not exist.
    ///
    /// # Errors
    /// Fails where the host has no version 2 hierarchy mounted.
    pub(super) fn of(mark: &Mark) -> Result<Self> {
        let root = root()?;
        // Below systemd, a group belongs to a unit, and the node's unit was given its own to divide.
        if systemd_is_pid_1() {
            return Ok(Self(root.join(format!("system.slice/stead-{mark}.service/node"))));
        }
        Ok(Self(root.join("stead").join(mark.as_str())))
    }

    /// The marks of all nodes that have a group here, of any fleet.
    pub(super) fn names() -> Vec<String> {
        let Ok(all) = root().map(|root| root.join("stead")) else { return Vec::new() };
        let entries = all.read_dir_utf8().into_iter().flatten().filter_map(std::io::Result::ok);
        entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().to_owned()).collect()
    }

    /// Makes the groups, empty, and sets what the host can enforce.
    ///
    /// # Errors
    /// Fails without root.
    pub(super) fn create(&self, limits: Option<Limits>) -> Result<()> {
        fs_err::create_dir_all(&self.0).context("making the node's control group")?;
        // Where a controller is not to be had, its file is not there, and `status` says that sizes are not enforced.
        for above in self.0.ancestors().skip(1).take(2) {
            let _ = fs_err::write(above.join("cgroup.subtree_control"), "+memory +cpu +pids");
        }
        let set = |file: &str, value: String| {
            let file = self.0.join(file);
            if file.exists() { fs_err::write(&file, value) } else { Ok(()) }
        };
        set("pids.max", PROCESSES.to_string())?;
        if let Some(limits) = limits {
            set("memory.max", limits.memory.to_string())?;
            set("cpu.max", format!("{} {PERIOD}", u64::from(limits.vcpus) * u64::from(PERIOD)))?;
        }
        if let Some(devices) = self.devices() {
            fs_err::create_dir_all(&devices).context("making the node's group of devices")?;
            fs_err::write(devices.join("devices.deny"), "a")?;
            for device in ALLOWED {
                fs_err::write(devices.join("devices.allow"), device)?;
            }
        }
        Ok(())
    }

    /// The files into which a process writes its id to enter.
    pub(super) fn procs(&self) -> Vec<Utf8PathBuf> {
        std::iter::once(self.0.clone()).chain(self.devices()).map(|dir| dir.join("cgroup.procs")).collect()
    }

    /// Whether this host holds the node to its size.
    pub(super) fn enforces_sizes(&self) -> bool {
        ["memory.max", "cpu.max"].iter().all(|file| {
            fs_err::read_to_string(self.0.join(file)).is_ok_and(|value| !value.trim_start().starts_with("max"))
        })
    }

    /// Kills every process in the group and below.
    ///
    /// # Errors
    /// Fails without root.
    pub(super) fn kill(&self) -> Result<()> {
        match fs_err::write(self.0.join("cgroup.kill"), "1") {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("ending the node's processes")
            }
            _ => Ok(()),
        }
    }

    /// Kills every process in the groups and below, and removes them; does nothing where they are gone.
    ///
    /// # Errors
    /// Fails where a process cannot be killed within ten seconds (it hangs in the kernel).
    pub(super) fn destroy(&self) -> Result<()> {
        self.kill()?;
        for dir in std::iter::once(self.0.clone()).chain(self.named()).chain(self.devices()) {
            remove(&dir)?;
            // The folder of all nodes goes with the last of them.
            if let Some(all) = dir.parent() {
                let _ = fs_err::remove_dir(all);
            }
        }
        Ok(())
    }

    /// On a host with both versions mounted, systemd-nspawn makes a group of the same name in systemd's old hierarchy too.
    fn named(&self) -> Option<Utf8PathBuf> {
        let below = self.0.strip_prefix("/sys/fs/cgroup/unified").ok()?;
        Some(Utf8Path::new("/sys/fs/cgroup/systemd").join(below))
    }

    /// The group that says which devices the node may use. Below systemd, the unit's `DeviceAllow=` does.
    fn devices(&self) -> Option<Utf8PathBuf> {
        let name = self.0.file_name()?;
        let there = !systemd_is_pid_1() && Utf8Path::new(DEVICES).join("devices.deny").exists();
        there.then(|| Utf8Path::new(DEVICES).join("stead").join(name))
    }
}

/// The version 2 hierarchy.
fn root() -> Result<&'static Utf8Path> {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .into_iter()
        .map(Utf8Path::new)
        .find(|dir| dir.join("cgroup.procs").exists() && dir.join("cgroup.controllers").exists())
        .ok_or_else(|| {
            Error::failed("this machine has no version 2 control groups mounted")
                .hint("mount them with `mount -t cgroup2 cgroup2 /sys/fs/cgroup`")
        })
}

/// Removes a tree of groups as soon as it can be: the kernel says when the last process is gone.
fn remove(dir: &Utf8Path) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(error) = remove_tree(dir) {
        if error.kind() == std::io::ErrorKind::NotFound {
            break;
        }
        if Instant::now() > deadline {
            return Err(Error::from(error).context(format!("removing the control group {dir}")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Removes a tree of control groups, deepest first. Their files are the kernel's: only folders are removed.
fn remove_tree(dir: &Utf8Path) -> std::io::Result<()> {
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let name = entry.file_name();
            remove_tree(&dir.join(name.to_string_lossy().as_ref()))?;
        }
    }
    fs_err::remove_dir(dir)
}
