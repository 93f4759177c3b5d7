//! The first layer: Debian's packages, laid out by mmdebstrap.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use camino::Utf8Path;

use super::contained;
use super::sources::Sources;
use super::stop::Stop;
use crate::error::Context;
use crate::tool::Tool;
use crate::{Error, Result};

/// Lays out Debian packages in a folder.
pub const MMDEBSTRAP: Tool = Tool { program: "mmdebstrap", package: "mmdebstrap", purpose: "build images" };

/// What every image has beside what its definition names: an init, a network, cloud-init, sshd.
pub const PACKAGES: [&str; 18] = [
    "ca-certificates",
    "cloud-init",
    "dbus",
    "debian-archive-keyring",
    "iproute2",
    "libpam-systemd",
    "netbase",
    "netcat-openbsd",
    "nftables",
    "openssh-server",
    "procps",
    "python3-yaml",
    "sudo",
    "systemd",
    "systemd-resolved",
    "systemd-sysv",
    "systemd-timesyncd",
    "udev",
];

/// All that goes into the layer, and so into its key.
#[derive(Debug, serde::Serialize)]
pub struct Recipe<'a> {
    /// Debian's code name.
    pub suite: &'a str,
    /// Debian's architecture.
    pub arch: &'a str,
    /// Every package asked for, sorted.
    pub packages: Vec<&'a str>,
    /// Where they come from. Not part of the key: two mirrors hold the same packages.
    #[serde(skip)]
    pub sources: &'a Sources,
}

/// Fills `root`. `progress` is told what is being done, in a few words.
///
/// # Errors
/// Fails where mmdebstrap is not installed or fails, with what it said last; and where `stop` ended it.
pub fn lay_out(recipe: &Recipe<'_>, root: &Utf8Path, stop: &Stop, progress: &dyn Fn(&str)) -> Result<()> {
    let mut command = contained::command(MMDEBSTRAP.path()?)?;
    command
        .args(["--variant=minbase", "--mode=root"])
        .arg(format!("--architectures={}", recipe.arch))
        .arg(format!("--include={}", recipe.packages.join(",")))
        .args(["--aptopt=Apt::Install-Recommends \"false\"", "--aptopt=Acquire::Retries \"3\""])
        // Machine-made documentation of packages that nobody reads on a node; licences stay.
        .args(["--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*"])
        .args(["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-include=/usr/share/doc/*/copyright"])
        .args([recipe.suite, root.as_str(), "-"])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(Stdio::null());
    let mut running = stop.spawn(&mut command).context("starting mmdebstrap")?;
    let mut stdin = running.child().stdin.take().ok_or_else(|| Error::failed("no pipe to mmdebstrap"))?;
    // One that ended before it read them says why in its status.
    let _ = stdin.write_all(recipe.sources.deb822(recipe.suite).as_bytes());
    drop(stdin);
    let stderr = running.child().stderr.take().ok_or_else(|| Error::failed("no pipe from mmdebstrap"))?;
    let mut said = String::new();
    for line in BufReader::new(stderr).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        // Progress bars overwrite themselves with carriage returns.
        let line = line.rsplit('\r').find(|part| !part.trim().is_empty()).unwrap_or_default().trim();
        if let Some(step) = line.strip_prefix("I: ") {
            progress(step.trim_end_matches("..."));
        }
        if !line.starts_with("done") && !line.is_empty() {
            said.push_str(line);
            said.push('\n');
        }
    }
    let status = running.wait()?;
    if !status.success() {
        return Err(explain(MMDEBSTRAP.failure(status, &said), &said));
    }
    forget_the_builder(root)
}

/// Removes what must be each node's own, and what mmdebstrap took over from the machine that builds.
fn forget_the_builder(root: &Utf8Path) -> Result<()> {
    let keys = root.join("etc/ssh").read_dir_utf8()?.filter_map(std::io::Result::ok).map(|entry| entry.into_path());
    let own =
        ["etc/hostname", "var/lib/systemd/credential.secret", "var/lib/systemd/random-seed", "var/lib/dbus/machine-id"];
    let own = own.into_iter().map(|name| root.join(name));
    for file in keys.filter(|path| path.file_name().is_some_and(|name| name.starts_with("ssh_host_"))).chain(own) {
        match fs_err::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    // Empty, and there: systemd fills it at the first boot, from the container manager's where one gives it (machine-id(5)).
    fs_err::write(root.join("etc/machine-id"), "")?;
    Ok(())
}

/// Adds the way out to what people run into most.
fn explain(error: Error, said: &str) -> Error {
    if said.contains("No space left on device") {
        error.hint("free some space for the cache of built images, or give it another folder with STEAD_CACHE_DIR")
    } else if said.contains("Unable to locate package") {
        error.hint("check `packages` in the image's definition; the archive has no package of that name in this suite")
    } else if said.contains("Temporary failure resolving") || said.contains("Could not connect") {
        error.hint("check this machine's network and its apt sources (`apt-get update`)")
    } else {
        error
    }
}
