//! Ending a build from elsewhere: at once, with the programs that it runs.

use std::io::{Error as IoError, Read};
use std::process::{Child, Command, ExitStatus, Output};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::{Error, Result};

/// Ends a build, from another thread than the one that builds. Clones end the same build.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    stopped: bool,
    /// The program that the build waits for. Not its number, which may be another's by the time it is used.
    running: Option<OwnedFd>,
}

/// Ends the build when it is dropped.
#[derive(Debug)]
pub struct StopOnDrop(Stop);

/// A program that ends with the build, and with the value itself.
pub(super) struct Running {
    child: Child,
    stop: Stop,
}

impl Stop {
    /// Ends the build: the program that it runs is killed, and nothing more is begun. Does not wait for that.
    pub fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        if let Some(running) = &state.running {
            // One that has ended by itself needs no more.
            let _ = pidfd_send_signal(running, Signal::KILL);
        }
    }

    /// Ends the build when what is returned is dropped, as it is with a future that nobody waits for any more.
    #[must_use]
    pub fn on_drop(&self) -> StopOnDrop {
        StopOnDrop(self.clone())
    }

    /// Goes on, unless the build is to end.
    ///
    /// # Errors
    /// Fails once the build was stopped.
    pub fn check(&self) -> Result<()> {
        if self.state().stopped { Err(stopped()) } else { Ok(()) }
    }

    /// Starts a program that [`Stop::stop`] kills.
    ///
    /// # Errors
    /// Fails once the build was stopped, and where the program cannot be started.
    pub(super) fn spawn(&self, command: &mut Command) -> Result<Running> {
        // Held over the start, so that no program slips through between the question and the note of it.
        let mut state = self.state();
        if state.stopped {
            return Err(stopped());
        }
        let mut child = command.spawn()?;
        match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
            Ok(running) => state.running = Some(running),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                return Err(IoError::from(error).into());
            }
        }
        drop(state);
        Ok(Running { child, stop: self.clone() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds it can leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Running {
    /// The program's pipes.
    pub(super) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits for its end, and gives what it wrote into its pipes.
    ///
    /// # Errors
    /// As [`Running::wait`].
    pub(super) fn output(mut self) -> Result<Output> {
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        // Beside each other: a program that fills one pipe must not wait for us while we read the other.
        let stderr = std::thread::spawn(move || read(stderr));
        let stdout = read(stdout);
        let stderr = stderr.join().unwrap_or_default();
        Ok(Output { status: self.wait()?, stdout, stderr })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Fails where it was killed because the build was stopped.
    pub(super) fn wait(mut self) -> Result<ExitStatus> {
        let status = self.child.wait()?;
        self.stop.check()?;
        Ok(status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.state().running = None;
        if matches!(self.child.try_wait(), Ok(None)) {
            // Whoever drops it half way writes into the folder no more.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What a pipe holds; how the program ended tells more than a read that failed.
fn read(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = pipe.read_to_end(&mut bytes);
    }
    bytes
}

fn stopped() -> Error {
    Error::failed("the build was stopped")
        .hint("run the command again: stages that were finished are taken as they are")
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::image::contained;

    #[test]
    fn rooted_programs_end_at_once_with_all_their_children() {
        let stop = Stop::default();
        let begun = Instant::now();
        let mut command = contained::command("/bin/sh").unwrap();
        command.args(["-c", "sleep 60 & echo up; sleep 60"]).stdout(Stdio::piped());
        let mut running = stop.spawn(&mut command).unwrap();
        let mut stdout = running.child().stdout.take().unwrap();
        let mut first = [0; 3];
        stdout.read_exact(&mut first).unwrap();
        std::thread::spawn({
            let guard = stop.on_drop();
            move || {
                std::thread::sleep(Duration::from_millis(50));
                drop(guard);
            }
        });
        // The pipe ends with the last process that holds it.
        stdout.read_to_end(&mut Vec::new()).unwrap();
        assert!(running.wait().unwrap_err().to_string().contains("was stopped"));
        assert!(begun.elapsed() < Duration::from_secs(10));
        assert!(stop.spawn(&mut Command::new("true")).is_err(), "nothing more is begun");
    }

    #[test]
    fn a_program_that_is_let_go_of_is_ended() {
        let stop = Stop::default();
        let mut running = stop.spawn(Command::new("sleep").arg("60").stdout(Stdio::piped())).unwrap();
        let mut stdout = running.child().stdout.take().unwrap();
        drop(running);
        let begun = Instant::now();
        stdout.read_to_end(&mut Vec::new()).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(10));
        stop.check().unwrap();
    }
}
