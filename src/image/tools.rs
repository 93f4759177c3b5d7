//! The programs that lay out disks: a folder of Debian 13's, by a lock of their own, for images of every suite.
//!
//! An older suite's tools cannot make an identical file system twice, and this machine's own would make another one than the
//! next machine's. The packages are unpacked and not installed: their programs run where they lie, with the libraries beside
//! them, and so need neither a chroot nor a mount.

use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};

use super::contained;
use super::debs::Debs;
use super::definition::{Definition, Suite};
use super::lock::Lock;
use super::stop::Stop;
use crate::error::Context;
use crate::tool::{Tool, tail};
use crate::{Error, Result};

/// The name that the tools' lock has among images.
pub const NAME: &str = "tools";

const DPKG_DEB: Tool = Tool { program: "dpkg-deb", package: "dpkg", purpose: "unpack the tools that lay out disks" };

/// What disks are made with, and why.
const PACKAGES: [&str; 9] = [
    // mke2fs with `-d`, from a tar stream.
    "e2fsprogs",
    "libarchive13t64",
    // The EFI system partition, without a mount.
    "dosfstools",
    "mtools",
    // sfdisk.
    "fdisk",
    // grub-mkimage and the BIOS's modules.
    "grub-common",
    "grub-pc-bin",
    // qemu-img.
    "qemu-utils",
    "zstd",
];
/// Debian's name of this machine's architecture.
const HOST: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
/// The libraries, and among them the loader.
pub(super) const LIBRARIES: &str =
    if cfg!(target_arch = "aarch64") { "usr/lib/aarch64-linux-gnu" } else { "usr/lib/x86_64-linux-gnu" };
pub(super) const LOADER: &str =
    if cfg!(target_arch = "aarch64") { "ld-linux-aarch64.so.1" } else { "ld-linux-x86-64.so.2" };
/// The loader's argument that names where libraries are.
const LIBRARY_PATH: &str = "--library-path";
/// What UEFI machines boot, signed.
const SIGNED: [&str; 2] = ["grub-efi-amd64-signed", "shim-signed"];

/// What the tools' lock is made of. They run on this machine, whatever the images are for.
pub fn definition() -> Definition {
    let signed = SIGNED.map(|name| name.replace("amd64", HOST));
    let names: Vec<&str> = PACKAGES.into_iter().chain(signed.iter().map(String::as_str)).collect();
    bare(NAME, &names)
}

/// The definition of a folder of Debian 13's programs for this machine: these packages and what they need, no system.
pub fn bare(name: &str, packages: &[&str]) -> Definition {
    Definition {
        name: name.into(),
        suite: Suite::Trixie,
        arch: HOST.into(),
        packages: packages.iter().map(ToString::to_string).collect(),
        playbooks: Vec::new(),
        bases: Vec::new(),
        mirror: None,
        disk: None,
        hardening: None,
        bare: true,
        places: std::collections::BTreeMap::new(),
    }
}

/// Unpacks a lock's packages.
///
/// # Errors
/// Fails where a package cannot be unpacked, and where `stop` ended it.
pub fn unpack(lock: &Lock, debs: &Debs, root: &Utf8Path, stop: &Stop) -> Result<()> {
    // Debian's own names for these folders, whichever package comes first (usrmerge).
    for name in ["bin", "lib", "lib64", "sbin"] {
        fs_err::create_dir_all(root.join("usr").join(name))?;
        fs_err::os::unix::fs::symlink(format!("usr/{name}"), root.join(name))?;
    }
    for package in &lock.packages {
        let mut command = contained::command(DPKG_DEB.path()?)?;
        command.arg("--extract").arg(debs.path(package)).arg(root).stdin(Stdio::null());
        let output = stop.spawn(&mut command)?.output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(DPKG_DEB.failure(output.status, &said)).with_context(|| format!("unpacking {}", package.name));
        }
    }
    Ok(())
}

/// The unpacked tools.
#[derive(Debug, Clone)]
pub struct Tools {
    root: Utf8PathBuf,
    /// What times are written into what the tools make, in seconds since 1970.
    epoch: i64,
}

impl Tools {
    /// The tools under `root`, which write `epoch` (seconds since 1970) where they would write the time.
    pub fn new(root: Utf8PathBuf, epoch: i64) -> Self {
        Self { root, epoch }
    }

    /// A file that came with the tools.
    pub fn file(&self, path: &str) -> Utf8PathBuf {
        self.root.join(path)
    }

    /// A command that runs one of the tools, by its path under the root. It is killed when we are.
    ///
    /// # Errors
    /// Fails where util-linux is not installed.
    pub fn command(&self, program: &str) -> Result<Command> {
        let libraries = format!("{0}/{LIBRARIES}:{0}/usr/lib", self.root);
        let mut command = contained::alone(self.root.join(LIBRARIES).join(LOADER))?;
        command
            .args([LIBRARY_PATH, &libraries])
            .arg(self.root.join(program))
            .env("LC_ALL", "C.UTF-8")
            .env("SOURCE_DATE_EPOCH", self.epoch.to_string())
            // What this machine says about file systems is not for images.
            .env("MKE2FS_CONFIG", self.root.join("etc/mke2fs.conf"))
            .env("MTOOLSRC", "/dev/null")
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(command)
    }

    /// Runs a command made by [`Tools::command`] to its end.
    ///
    /// # Errors
    /// Fails where it does, with what it said last, and where `stop` ended it.
    pub fn run(&self, command: &mut Command, stop: &Stop) -> Result<()> {
        let output = stop.spawn(command)?.output()?;
        finished(command, output.status, &output.stderr)
    }
}

/// Whether one of the tools succeeded.
pub(super) fn finished(command: &Command, status: std::process::ExitStatus, said: &[u8]) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    // The loader's argument and its value, and then the tool.
    let mut args = command.get_args().skip_while(|arg| *arg != LIBRARY_PATH);
    let program = args.nth(2).and_then(|program| Utf8Path::new(program.to_str()?).file_name());
    let said = String::from_utf8_lossy(said);
    let error = Error::failed(format!("{} failed ({status})", program.unwrap_or("a tool"))).because(tail(&said, 8));
    Err(if said.contains("No space left on device") || said.contains("ENOSPC") {
        error.hint("free some space for the cache of built images, or give it another folder with STEAD_CACHE_DIR")
    } else {
        error
    })
}
