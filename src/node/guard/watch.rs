//! The watch: what takes the changes back where nobody confirms them.

use std::time::Duration;

use super::record::{self, Record};
use super::restore;
use crate::node::exec::{Run, System};
use crate::node::files::{self, Attributes};
use crate::node::{Machine, Paths, facts, lock};
use crate::wire::plan::ApplyOptions;
use crate::{Error, Result};

/// How often the watch looks whether it is still wanted.
const PAUSE: Duration = Duration::from_secs(1);
/// The unit that takes changes back after a boot.
const UNIT: &str = "stead-guard.service";

/// Sets the watch: a service of its own, which outlives this session, and a unit for the next boot.
pub(super) fn set(machine: &Machine, id: &str) -> Result<()> {
    let paths = &machine.paths;
    let agent = std::env::current_exe()?;
    let agent = agent.to_str().ok_or_else(|| Error::failed("this agent's path is not text"))?;
    files::write(&paths.guard_unit(), unit(agent).as_bytes(), Attributes { uid: 0, gid: 0, mode: 0o644 })?;
    let wanted = paths.guard_unit_wanted();
    if let Some(folder) = wanted.parent() {
        files::make_folder(folder, 0o755)?;
    }
    files::remove(&wanted)?;
    fs_err::os::unix::fs::symlink(format!("../{UNIT}"), &wanted)?;
    files::sync_parent(&wanted)?;
    // A name of its own for each run: the last one's watch may still be about to end.
    machine.commands.must(&Run::new([
        "systemd-run",
        "--quiet",
        "--collect",
        &format!("--unit=stead-guard-{id}"),
        "--description=Takes Stead's changes back unless they are confirmed",
        "--property=Restart=on-failure",
        "--property=RestartSec=1",
        "--",
        agent,
        "guard-watch",
    ]))?;
    Ok(())
}

/// Runs before anything that listens or that filters packets, and before sysctls are set.
fn unit(agent: &str) -> String {
    format!(
        "[Unit]
Description=Takes back Stead's changes that nobody confirmed before the boot
DefaultDependencies=no
RequiresMountsFor=/etc /var/lib/stead
After=systemd-remount-fs.service
Before=sysinit.target network-pre.target systemd-sysctl.service systemd-networkd.service networking.service
Before=nftables.service ssh.service ssh.socket
ConditionPathExists=/var/lib/stead/guard/record.json

[Service]
Type=oneshot
ExecStart={agent} guard-boot

[Install]
WantedBy=sysinit.target
"
    )
}

/// Ends the guard: what was stored goes, and the unit with it. The watch ends by itself when it finds no record.
pub(crate) fn lift(paths: &Paths) -> Result<()> {
    files::remove(&paths.guard_record())?;
    files::remove(&paths.guard_unit_wanted())?;
    files::remove(&paths.guard_unit())?;
    // Without the record, what is left of the folder means nothing.
    match fs_err::remove_dir_all(paths.guard_dir()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Waits for the controller's word, and takes the changes back where it does not come. Runs as a service of its own.
///
/// # Errors
/// Fails where the record cannot be read; systemd then starts the watch again.
pub fn watch(paths: &Paths) -> Result<()> {
    while Record::load(paths)?.is_some() {
        let left = record::time_left(paths);
        if !left.is_zero() {
            std::thread::sleep(left.min(PAUSE));
            continue;
        }
        // A run that still works holds it; when it ends, the controller's time begins anew.
        let _claim = lock::wait(paths, "the guard, which takes unconfirmed changes back")?;
        if record::time_left(paths).is_zero()
            && let Some(record) = Record::load(paths)?
        {
            restore::restore(&machine(paths)?, &record, false)?;
        }
    }
    Ok(())
}

/// Takes the changes back that nobody confirmed before the machine was booted. Runs early in the boot.
///
/// # Errors
/// Fails where the record cannot be read.
pub fn boot(paths: &Paths) -> Result<()> {
    match Record::load(paths)? {
        // Started by hand in the same boot: the watch is at work.
        Some(record) if record.boot_id == facts::boot_id(paths) => Ok(()),
        Some(record) => restore::restore(&machine(paths)?, &record, true).map(drop),
        None => Ok(()),
    }
}

fn machine(paths: &Paths) -> Result<Machine> {
    Ok(Machine::with(paths.clone(), facts::gather(paths)?, Box::new(System), &ApplyOptions::default()))
}
