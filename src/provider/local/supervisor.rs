//! The process that a local node hangs on: `stead internal supervise DIR`.
//!
//! It outlives the command that started it. It mounts the node's overlay in a mount namespace of its own, runs
//! systemd-nspawn in control groups of its own, starts it again when the node reboots, and keeps the console's log. When
//! it dies, the node dies with it; what is left then is the folder, and `stead up` starts the node again.

use std::io::{PipeReader, Read, Write};
use std::process::{Command, ExitStatus, Stdio};

use camino::Utf8PathBuf;

use super::cable::Cable;
use super::cgroup::Cgroup;
use super::machine::{MachineDir, MachineFile};
use super::tools::NSPAWN;
use crate::error::Context;
use crate::image::overlay;
use crate::{Error, Result};

/// How systemd-nspawn ends when the node asked for a reboot and `--keep-unit` is given.
const REBOOT: i32 = 133;
/// The console's log is begun anew at this size, in bytes, and the one before is kept: a node that writes and writes to
/// its console must not fill the host.
const CONSOLE_MAX: u64 = 4 << 20;

/// Enters the control groups named before `--` and becomes the program named behind it, which dies with its parent: no
/// node outlives its supervisor.
const ENTER: &str =
    r#"set -e; while [ "$1" != -- ]; do echo $$ > "$1"; shift; done; exec setpriv --pdeathsig KILL "$@""#;

/// Runs the node in `dir` until it powers itself off. Called in a process with one thread.
///
/// # Errors
/// Fails where another supervisor runs the node, where the overlay cannot be mounted, or where the node ends in an error.
pub fn supervise(dir: Utf8PathBuf) -> Result<()> {
    let dir = MachineDir::at(dir);
    let machine = dir.read()?.ok_or_else(|| Error::failed(format!("there is no machine in {}", dir.path())))?;
    let Some(_lock) = dir.lock()? else {
        return Err(Error::failed(format!("{} runs already", machine.mark)));
    };
    let (cgroup, cable) = (Cgroup::of(&machine.mark)?, Cable::of(&machine.mark));
    overlay::enter(&machine.layers, &dir.join("upper"), &dir.join("work"), &dir.join("root"))?;
    loop {
        // What a killed supervisor left behind holds the old overlay; it goes first.
        cgroup.destroy()?;
        cgroup.create(machine.limits)?;
        cable.plug(&machine.bridge, &dir.join("netns"))?;
        let status = boot(&dir, &machine, &cgroup)?;
        if status.code() != Some(REBOOT) {
            cgroup.destroy()?;
            cable.unplug()?;
            return ended(status);
        }
    }
}

fn boot(dir: &MachineDir, machine: &MachineFile, cgroup: &Cgroup) -> Result<ExitStatus> {
    let (console, output) = std::io::pipe()?;
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", ENTER, "sh"])
        .args(cgroup.procs())
        .arg("--")
        .arg(NSPAWN.path()?)
        .args(["--boot", "--quiet", "--register=no", "--keep-unit", "--console=read-only"])
        // What nspawn would take from the host belongs to cloud-init and the image.
        .args(["--resolv-conf=off", "--timezone=off", "--link-journal=no", "--settings=no"])
        // The host's devices are not the node's.
        .arg("--drop-capability=CAP_MKNOD")
        // Over its own network, which nspawn did not make and so does not give it by itself.
        .arg("--capability=CAP_NET_ADMIN")
        .arg(format!("--directory={}", dir.join("root")))
        .arg(format!("--machine={}", machine.mark))
        .arg(format!("--hostname={}", machine.hostname))
        .arg(format!("--uuid={}", machine.uuid.simple()))
        .arg(format!("--network-namespace-path={}", dir.join("netns")))
        .args(["--", "--show-status=yes"])
        .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
        .env("SYSTEMD_LOG_LEVEL", "warning")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    // Spawned by the first thread: it is the parent whose death ends the node.
    let mut child = command.spawn().context("starting systemd-nspawn")?;
    // Holds the pipe's other end as long as it lives.
    drop(command);
    let log = dir.clone();
    let keeper = std::thread::spawn(move || keep_console(console, &log));
    let status = child.wait()?;
    // What still holds the console goes with the group.
    cgroup.kill()?;
    if let Ok(Err(error)) = keeper.join() {
        return Err(error.context("keeping the console's log"));
    }
    Ok(status)
}

/// Writes what the node says on its console, and begins a new log where this one is long.
fn keep_console(mut console: PipeReader, dir: &MachineDir) -> Result<()> {
    let path = dir.join("console.log");
    let open = || fs_err::OpenOptions::new().create(true).append(true).open(&path);
    let mut log = open()?;
    let mut written = log.metadata()?.len();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = match console.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        if written > CONSOLE_MAX {
            fs_err::rename(&path, dir.join("console.log.1"))?;
            log = open()?;
            written = 0;
        }
        // A full disk loses the console's lines, not the node.
        if log.write_all(&buffer[..length]).is_ok() {
            written += length as u64;
        }
    }
}

fn ended(status: ExitStatus) -> Result<()> {
    if status.success() { Ok(()) } else { Err(Error::failed(format!("the node ended: {status}"))) }
}
