//! The kernel: its parameters, modules and mounts.

use serde::{Deserialize, Serialize};

use super::Presence;
use crate::{Error, Result};

/// `sysctl`: a kernel parameter, now and at every boot. In an image's root, and where a container's kernel does not let
/// it be set, only for the next boot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sysctl {
    /// The name with dots: `kernel.kptr_restrict`.
    pub name: String,
    /// The value as text.
    #[serde(default)]
    pub value: String,
    /// `absent` forgets the setting; what holds now stays until the next boot.
    #[serde(default)]
    pub state: Presence,
}

/// What a kernel module should be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModuleState {
    /// Loaded now and at every boot.
    #[default]
    Loaded,
    /// Never loaded, by whatever asks for it; unloaded now. One that is in use stays until the next boot, and one that is
    /// built into the kernel cannot be blocked: the change says so.
    Blocked,
    /// Neither: Stead's files about it go. What the kernel has now stays until the next boot.
    Absent,
}

/// `kernel_module`: a module of the kernel, now and at every boot. In an image's root, and in a container, whose kernel is
/// its host's, only the files for the next boot are looked after; a copy of them in an initramfs is left alone. What it
/// does to a kernel, a container cannot prove.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelModule {
    /// The module's own name, not an alias; `-` and `_` are the same in it.
    pub name: String,
    /// Parameters for a module that is loaded: `max_loop=64 max_part=8`. One that is loaded already takes them when it is
    /// loaded anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<String>,
    /// What it should be. `vfat` cannot be blocked in an image or where UEFI booted the machine: it could not boot again.
    #[serde(default)]
    pub state: ModuleState,
}

impl KernelModule {
    pub(super) fn check(&self) -> Result<()> {
        if self.params.is_some() && self.state != ModuleState::Loaded {
            return Err(Error::input("only a module that is loaded has `params`").hint("leave them out"));
        }
        Ok(())
    }
}

/// What should be mounted, and when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountState {
    /// In `/etc/fstab`, and mounted now.
    #[default]
    Mounted,
    /// In `/etc/fstab`, and not mounted now; the next boot mounts it, unless its options say `noauto`.
    Unmounted,
    /// In `/etc/fstab`; what is mounted now is left alone.
    Present,
    /// Neither in `/etc/fstab` nor mounted.
    Absent,
}

/// `mount`: a file system, by its line in `/etc/fstab` and by what is mounted now. In an image's root only the line is
/// looked after. The folder to mount on is made (0755, root) where it is missing.
///
/// Compared are source, type and options with those of the line; its last two fields (dump and fsck) stay as they are, and
/// are `0 0` in a new line. Mounted is what the kernel has at `path`; where `source` is a block device, it must be that
/// one. Where only the options of the line differ it is mounted anew in place (`remount`), where source or type do it
/// is unmounted first. What was mounted by hand with other options than the line's is not noticed.
///
/// It is mounted before the line is written: a machine whose fstab names what cannot be mounted may not boot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// The folder to mount on: an absolute path, without a symbolic link in it.
    pub path: String,
    /// What is mounted: `UUID=…`, `/dev/disk/…`, `tmpfs`, `server:/export`. Must be given unless it is to be `absent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The type of the file system: `ext4`, `tmpfs`, `nfs`, or `none` with the option `bind`. Must be given unless it is
    /// to be `absent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fstype: Option<String>,
    /// Options with commas between them; `defaults` where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<String>,
    /// What it should be.
    #[serde(default)]
    pub state: MountState,
}

impl Mount {
    pub(super) fn check(&self) -> Result<()> {
        let missing = match (&self.source, &self.fstype) {
            _ if self.state == MountState::Absent => return Ok(()),
            (None, _) => "source",
            (_, None) => "fstype",
            _ => return Ok(()),
        };
        Err(Error::input(format!("this mount has no `{missing}`")).hint("only with `state: absent` may it be left out"))
    }
}

/// Checks a field of fstab(5).
///
/// # Errors
/// Fails where it is empty, a comment, or more than one line.
pub fn check_fstab(field: &str) -> Result<()> {
    if field.is_empty() || field.starts_with('#') || field.contains(['\n', '\r', '\0']) {
        return Err(Error::input(format!("{field:?} cannot stand in /etc/fstab")).hint("fstab(5) says what can"));
    }
    Ok(())
}

/// Checks the name of a kernel module.
///
/// # Errors
/// Fails where it is none.
pub fn check_module(name: &str) -> Result<()> {
    let legal = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if legal {
        return Ok(());
    }
    Err(Error::input(format!("{name:?} is not the name of a kernel module"))
        .hint("as `lsmod` prints it: letters, digits, _ and -"))
}

/// Checks the parameters of a kernel module: they stand on one line of modprobe.d(5).
///
/// # Errors
/// Fails where they do not.
pub fn check_params(params: &str) -> Result<()> {
    let legal = !params.trim().is_empty() && !params.contains(['\n', '\r', '\\', '#']);
    if legal {
        return Ok(());
    }
    Err(Error::input(format!("{params:?} are no parameters of a kernel module")).hint("write NAME=VALUE NAME=VALUE"))
}
