//! The first stage: exactly the lock's packages, laid out by mmdebstrap from the local store.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use camino::Utf8Path;

use super::contained;
use super::debs::Debs;
use super::lock::{Lock, Locked};
use super::sources::Sources;
use super::stages::Building;
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

/// What is left out of packages: documentation and translations that nobody reads on a node. Licences stay.
const DPKG_OPTIONS: [&str; 4] = [
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
];

/// Fills the stage's root. `own_sources` are written down as the image's own, where its definition names them. `progress` is
/// told what is being done, in a few words.
///
/// # Errors
/// Fails where mmdebstrap is not installed or fails, with what it said last; where what is installed is not what the lock
/// names; and where `stop` ended it.
pub fn lay_out(
    lock: &Lock,
    debs: &Debs,
    own_sources: Option<&Sources>,
    building: &Building,
    stop: &Stop,
    progress: &dyn Fn(&str),
) -> Result<()> {
    let (root, archive) = (building.root(), building.scratch("archive")?);
    debs.archive(lock, &archive)?;
    let names: Vec<&str> = lock.packages.iter().map(|package| package.name.as_str()).collect();
    let mut command = contained::command(MMDEBSTRAP.path()?)?;
    command
        // Everything is named: apt has nothing to choose. (The variant `custom` would unpack every package twice, not only those
        // that the others need to be unpacked with.)
        .args(["--variant=essential", "--mode=root", "--format=directory"])
        .arg(format!("--architectures={}", lock.arch))
        .arg(format!("--include={}", names.join(",")))
        .args(["--aptopt=Apt::Install-Recommends \"false\""])
        .args(DPKG_OPTIONS.map(|option| format!("--dpkgopt={option}")))
        .args([lock.suite.as_str(), root.as_str()])
        // Trusted, since every file was held against the lock.
        .arg(format!("deb [trusted=yes] copy://{} ./", archive.as_str().replace(' ', "%20")))
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("SOURCE_DATE_EPOCH", lock.date.timestamp().to_string())
        // dpkg need not wait for the disk after every file: the stage is written out as a whole before it counts.
        .env("DPKG_FORCE", "unsafe-io")
        // An initrd of a root that is not whole yet would only be made anew (kernel's postinst.d/initramfs-tools).
        .env("INITRD", "No")
        .stdout(Stdio::null());
    let mut running = stop.spawn(&mut command).context("starting mmdebstrap")?;
    drop(running.child().stdin.take());
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
    let status = fs_err::read_to_string(root.join("var/lib/dpkg/status"))?;
    compare(lock, &status)?;
    settle(lock, own_sources, &root)?;
    forget_the_builder(&root)
}

/// Whether what dpkg has installed is what the lock names, all of it and nothing else.
fn compare(lock: &Lock, status: &str) -> Result<()> {
    let installed: BTreeSet<(String, String)> = crate::node::dpkg::parse(status)
        .into_iter()
        .filter(|(_, package)| package.installed)
        .map(|(name, package)| (name.split(':').next().unwrap_or_default().to_owned(), package.version))
        .collect();
    let locked: BTreeSet<(String, String)> =
        lock.packages.iter().map(|Locked { name, version, .. }| (name.clone(), version.clone())).collect();
    if installed == locked {
        return Ok(());
    }
    let tell = |set: Vec<&(String, String)>| {
        set.into_iter().map(|(name, version)| format!("{name} {version}")).collect::<Vec<_>>().join(", ")
    };
    let mut message = String::from("the packages that were installed are not those of the lock");
    for (what, packages) in [
        ("not in the lock", installed.difference(&locked).collect::<Vec<_>>()),
        ("not installed", locked.difference(&installed).collect()),
    ] {
        if !packages.is_empty() {
            let _ = write!(message, "; {what}: {}", tell(packages));
        }
    }
    Err(Error::failed(message).hint("make the lock anew: `stead image lock NAME --update`"))
}

/// What mmdebstrap cannot know: where the image's packages really come from, and which of them were asked for.
fn settle(lock: &Lock, own_sources: Option<&Sources>, root: &Utf8Path) -> Result<()> {
    // Otherwise everything would pass for asked for, and no kernel would ever be cleared away.
    let automatic: String = lock
        .packages
        .iter()
        .filter(|package| !lock.requested.contains(&package.name))
        .map(|package| {
            let arch = if package.arch == "all" { &lock.arch } else { &package.arch };
            format!("Package: {}\nArchitecture: {arch}\nAuto-Installed: 1\n\n", package.name)
        })
        .collect();
    fs_err::write(root.join("var/lib/apt/extended_states"), automatic)?;
    fs_err::remove_file(root.join("etc/apt/sources.list"))?;
    if let Some(sources) = own_sources {
        fs_err::write(root.join("etc/apt/sources.list.d/debian.sources"), sources.deb822(&lock.suite))?;
    }
    // Without archives of its own an image is told at its first boot; Debian's cloud-init would leave it without any.
    let settings = root.join("etc/cloud/cloud.cfg.d/80_stead_sources.cfg");
    Ok(fs_err::write(settings, format!("apt: {{preserve_sources_list: {}}}\n", own_sources.is_some()))?)
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
    } else {
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_locked_is_named() {
        let lock = Lock::sample();
        let status = "Package: netbase\nStatus: install ok installed\nArchitecture: all\nVersion: 6.5\n\n";
        compare(&lock, status).unwrap();
        let other = status.replace("6.5", "6.6");
        let error = compare(&lock, &other).unwrap_err().to_string();
        assert!(error.ends_with("not in the lock: netbase 6.6; not installed: netbase 6.5"), "{error}");
    }
}
