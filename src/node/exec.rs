//! Programs that the node agent runs: with a clean environment, bounded output, and a time-out.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

use crate::error::Context;
use crate::{Error, Result};

/// The most that is kept of a program's output, in bytes; the end of it, since that is where errors stand.
const MAX_OUTPUT: usize = 1 << 20;
/// How long a program may run where nothing else was said.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// A program to be run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Variables beside the few that every program gets.
    pub env: BTreeMap<String, String>,
    /// What it reads; nothing where not given.
    pub stdin: Option<Vec<u8>>,
    /// An existing file that takes what it writes, in place of the output that is kept.
    pub stdout_to: Option<camino::Utf8PathBuf>,
    /// Where it runs; `/` where not given.
    pub cwd: Option<String>,
    /// Whom it runs as: user id, group id, home folder and login name.
    pub user: Option<(u32, u32, String, String)>,
    /// When it is ended; ten minutes where not given.
    pub timeout: Option<Duration>,
}

impl Run {
    /// A program with its arguments.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

/// How a program ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The exit code; 128 and the signal's number where a signal ended it.
    pub status: i32,
    /// What it wrote, at most the last MiB of it.
    pub stdout: String,
    /// What it complained about, at most the last MiB of it.
    pub stderr: String,
}

impl Output {
    /// The last lines of what it complained about (or wrote), for an error message.
    pub fn tail(&self) -> String {
        let text = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }
}

/// What runs programs: the machine itself, or a test.
pub trait Commands {
    /// Runs a program to its end.
    ///
    /// # Errors
    /// Fails where it cannot be started or does not end in time; an exit code other than 0 is not an error here.
    fn run(&self, run: &Run) -> Result<Output>;

    /// Runs a program that must succeed.
    ///
    /// # Errors
    /// As [`Commands::run`], and where the exit code is not 0.
    fn must(&self, run: &Run) -> Result<Output> {
        let output = self.run(run)?;
        if output.status == 0 {
            return Ok(output);
        }
        Err(Error::failed(format!("`{}` ended with {}: {}", run.argv.join(" "), output.status, output.tail())))
    }
}

/// This machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Commands for System {
    fn run(&self, run: &Run) -> Result<Output> {
        let program = run.argv.first().ok_or_else(|| Error::input("a command without a program"))?;
        let mut command = Command::new(program);
        command.args(&run.argv[1..]).env_clear().current_dir(run.cwd.as_deref().unwrap_or("/")).process_group(0);
        let (home, name) = run.user.as_ref().map_or(("/root", "root"), |(_, _, home, name)| (home, name));
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", home).env("USER", name).env("LANG", "C.UTF-8").envs(&run.env);
        if let Some((uid, gid, ..)) = run.user {
            // Setting the user id also drops root's supplementary groups.
            command.gid(gid).uid(uid);
        }
        command.stdin(if run.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stderr(Stdio::piped()).stdout(match &run.stdout_to {
            Some(path) => fs_err::OpenOptions::new().write(true).truncate(true).open(path)?.into_parts().0.into(),
            None => Stdio::piped(),
        });
        let mut child = command.spawn().with_context(|| format!("starting {program}"))?;
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        if let (Some(mut pipe), Some(input)) = (child.stdin.take(), run.stdin.clone()) {
            // A program need not read its input; then writing fails, and that is its own affair.
            std::thread::spawn(move || pipe.write_all(&input));
        }
        let timeout = run.timeout.unwrap_or(DEFAULT_TIMEOUT);
        if !ends_within(&child, timeout)? {
            let group = Pid::from_child(&child);
            // The group ends as a whole; that it is gone already is fine.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            child.wait()?;
            return Err(Error::failed(format!("`{program}` did not end within {} s", timeout.as_secs()))
                .hint("give the task a longer `timeout`, in seconds"));
        }
        let status = child.wait()?;
        let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        // A daemon that the program left behind may hold the pipes open; what there is after a moment is all.
        let patience = Duration::from_millis(500);
        let text = |receiver: mpsc::Receiver<Vec<u8>>| {
            let mut all = Vec::new();
            while let Ok(chunk) = receiver.recv_timeout(patience) {
                all.extend_from_slice(&chunk);
                let excess = all.len().saturating_sub(MAX_OUTPUT);
                all.drain(..excess);
            }
            String::from_utf8_lossy(&all).into_owned()
        };
        Ok(Output { status, stdout: text(stdout), stderr: text(stderr) })
    }
}

/// Waits until a program has ended, and at most for so long; whether it has.
fn ends_within(child: &Child, timeout: Duration) -> Result<bool> {
    let process = rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty()).map_err(io::Error::from)?;
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|_| Error::input("a time-out longer than the clock goes"))?;
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&left)) {
            Err(Errno::INTR) => {}
            ready => return Ok(ready.map_err(io::Error::from)? > 0),
        }
    }
}

/// Reads a pipe on a thread of its own, so that neither pipe can block the program.
fn collect(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    if let Some(mut pipe) = pipe {
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
    }
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_input_and_exit_code_come_back() {
        let mut run = Run::new(["/bin/sh", "-c", "cat; echo oops >&2; exit 3"]);
        run.stdin = Some(b"hello".to_vec());
        let output = System.run(&run).unwrap();
        assert_eq!((output.status, output.stdout.as_str(), output.tail().as_str()), (3, "hello", "oops"));
        let error = System.must(&run).unwrap_err();
        assert!(error.to_string().contains("ended with 3: oops"), "{error}");
    }

    #[test]
    fn a_command_that_hangs_is_ended_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("alive");
        // Writes on and on from a grandchild, unless it is ended.
        let script = format!("(while sleep 0.02; do echo x >> {}; done) & sleep 60", file.display());
        let mut run = Run::new(["/bin/sh", "-c", &script]);
        run.timeout = Some(Duration::from_millis(500));
        let started = Instant::now();
        assert!(System.run(&run).unwrap_err().hints()[0].contains("timeout"));
        assert!(started.elapsed() < Duration::from_secs(10));
        let length = std::fs::metadata(&file).unwrap().len();
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(std::fs::metadata(&file).unwrap().len(), length, "a child lives on");
    }

    #[test]
    fn a_daemon_left_behind_does_not_hold_the_run() {
        let started = Instant::now();
        let output = System.run(&Run::new(["/bin/sh", "-c", "sleep 20 & echo up"])).unwrap();
        assert_eq!(output.stdout, "up\n");
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}
