//! Starting and ending a node's supervisor.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::machine::{Form, MachineDir, MachineFile};
use crate::error::Context;
use crate::id::Mark;
use crate::tool::Tool;
use crate::{Error, Result};

/// How long a supervisor may take until it holds its lock, or to die.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a node may take to shut down: as long as systemd gives its units by itself (DefaultTimeoutStopSec=).
const SHUT_DOWN: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(5);

const SYSTEMD_RUN: Tool = Tool { program: "systemd-run", package: "systemd", purpose: "run local nodes as units" };
const SYSTEMCTL: Tool = Tool { program: "systemctl", package: "systemd", purpose: "end local nodes" };

/// Starts the supervisor of the node in `dir`, detached from this process, and waits until it holds its lock.
///
/// # Errors
/// Fails where the supervisor ends at once, with what it said.
pub(super) fn start(program: &Utf8Path, dir: &MachineDir, machine: &MachineFile) -> Result<()> {
    let log = dir.join("console.log");
    let console = fs_err::OpenOptions::new().create(true).append(true).open(&log)?;
    let mut command = if units() { unit(machine, &log)? } else { Command::new("setsid") };
    let mut child = command
        .arg(program)
        .args(["internal", "supervise", dir.path().as_str()])
        .stdin(Stdio::null())
        .stdout(console.file().try_clone()?)
        .stderr(console.into_file())
        // The node outlives this command, and has no business with what its environment holds.
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        // Ctrl-C at the operator's terminal is not for the node.
        .process_group(0)
        .spawn()
        .context("starting the node's supervisor")?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        if dir.supervisor()?.is_some() {
            return Ok(());
        }
        let ended = child.try_wait()?.filter(|status| !status.success());
        if ended.is_some() || Instant::now() > deadline {
            let said = crate::tool::tail(&fs_err::read_to_string(&log).unwrap_or_default(), 10);
            return Err(Error::failed("the node's supervisor did not start").because(said));
        }
        std::thread::sleep(POLL);
    }
}

/// Ends the supervisor, if one is alive; the node dies with it.
///
/// # Errors
/// Fails where it does not die.
pub(super) fn stop(dir: &MachineDir, mark: &Mark) -> Result<()> {
    stop_unit(mark);
    signal(dir, Signal::KILL)?;
    if ends_within(dir, PATIENCE)? {
        return Ok(());
    }
    let process = dir.supervisor()?.unwrap_or_default();
    Err(Error::failed(format!("the supervisor of {mark} does not end (process {process})")))
}

/// Has the supervisor, if one is alive, shut its node down, and waits; whether it has ended.
///
/// # Errors
/// Fails as the system does.
pub(super) fn shut_down(dir: &MachineDir) -> Result<bool> {
    signal(dir, Signal::TERM)?;
    ends_within(dir, SHUT_DOWN)
}

/// Sends a signal to the supervisor, if one is alive.
fn signal(dir: &MachineDir, signal: Signal) -> Result<()> {
    let Some(pid) = dir.supervisor()?.and_then(Pid::from_raw) else { return Ok(()) };
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(()),
        opened => opened.map_err(std::io::Error::from)?,
    };
    // The id may have become another process's since it was read; whoever holds the lock now is ours. And who owns the file may
    // write any id into it: only a process of their own is theirs to give.
    if dir.supervisor()? == Some(pid.as_raw_pid()) && owner(&dir.join("supervisor.lock")) == owner(&process_of(pid)) {
        match pidfd_send_signal(&process, signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
    }
    Ok(())
}

fn ends_within(dir: &MachineDir, patience: Duration) -> Result<bool> {
    let deadline = Instant::now() + patience;
    while dir.supervisor()?.is_some() {
        if Instant::now() > deadline {
            return Ok(false);
        }
        std::thread::sleep(POLL);
    }
    Ok(true)
}

fn process_of(pid: Pid) -> Utf8PathBuf {
    format!("/proc/{}", pid.as_raw_pid()).into()
}

fn owner(path: &Utf8Path) -> Option<u32> {
    fs_err::metadata(path).ok().map(|found| found.uid())
}

/// Ends the node's unit, where systemd rules this host. One that is not loaded does not run.
pub(super) fn stop_unit(mark: &Mark) {
    if units() {
        // Told to stop alone, it would have the node shut down first.
        let _ = SYSTEMCTL.run(["kill", "--signal=KILL", &unit_name(mark)]);
        let _ = SYSTEMCTL.run(["stop", &unit_name(mark)]);
    }
}

/// Whether systemd rules this host: sd_booted(3).
pub(super) fn systemd_is_pid_1() -> bool {
    Utf8Path::new("/run/systemd/system").is_dir()
}

/// Whether nodes are units: where systemd rules the host, and this process may ask it for them.
fn units() -> bool {
    systemd_is_pid_1() && rustix::process::geteuid().is_root()
}

fn unit_name(mark: &Mark) -> String {
    format!("stead-{mark}.service")
}

/// Where systemd rules the host, it must be the one who starts the node: it owns the control groups, and would end what
/// was started from a session with that session.
fn unit(machine: &MachineFile, log: &Utf8Path) -> Result<Command> {
    let mut command = SYSTEMD_RUN.command()?;
    if matches!(machine.form, Form::Vm(_)) {
        command.arg("--property=DeviceAllow=/dev/kvm rw");
    }
    command
        .args(["--quiet", "--collect", "--property=Delegate=yes", "--property=KillMode=mixed"])
        .args(["--property=DevicePolicy=closed", "--property=DeviceAllow=char-pts rw"])
        .arg(format!("--unit={}", unit_name(&machine.mark)))
        .arg(format!("--property=StandardOutput=append:{log}"))
        .arg(format!("--property=StandardError=append:{log}"))
        .arg("--");
    Ok(command)
}
