//! The process that a local node hangs on: `stead internal supervise DIR`.
//!
//! It outlives the command that started it. It runs the node, starts it again when it reboots, and keeps the console's log.
//! Told to end (SIGTERM), it has the node shut down first. When it dies, the node dies with it; what is left then is the folder, and `stead up` starts the node again.

use std::cell::RefCell;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::thread::JoinHandle;

use camino::Utf8PathBuf;

use super::ending::Ending;
use super::machine::{Form, MachineDir};
use super::{container, vm};
use crate::{Error, Result};

/// The console's log is begun anew at this size, in bytes, and the one before is kept: a node that writes and writes to
/// its console must not fill the host.
const CONSOLE_MAX: u64 = 4 << 20;

/// Runs the node in `dir` until it powers itself off. Called in a process with one thread.
///
/// # Errors
/// Fails where another supervisor runs the node, where it cannot be started, or where it ends in an error.
pub fn supervise(dir: Utf8PathBuf) -> Result<()> {
    let dir = MachineDir::at(dir);
    let machine = dir.read()?.ok_or_else(|| Error::failed(format!("there is no machine in {}", dir.path())))?;
    let Some(lock) = dir.lock()? else {
        return Err(Error::failed(format!("{} runs already", machine.mark)));
    };
    let (keeper, ending) = (RefCell::new(Keeper::default()), Ending::default());
    let ended = match &machine.form {
        Form::Container(form) => container::run(&dir, &machine, form, &ending, || keeper.borrow_mut().begin(&dir)),
        Form::Vm(form) => {
            keeper.borrow_mut().begin(&dir).and_then(|console| vm::run(&dir, form, &lock, &ending, console))
        }
    };
    keeper.into_inner().end()?;
    let status = ended?;
    if status.success() { Ok(()) } else { Err(Error::failed(format!("the node ended: {status}"))) }
}

/// Writes what the node says on its console, boot after boot.
#[derive(Default)]
struct Keeper(Option<JoinHandle<Result<()>>>);

impl Keeper {
    /// The console of the boot that comes; the one before has ended.
    fn begin(&mut self, dir: &MachineDir) -> Result<PipeWriter> {
        std::mem::take(self).end()?;
        let (console, output) = std::io::pipe()?;
        let log = dir.clone();
        self.0 = Some(std::thread::spawn(move || keep_console(console, &log)));
        Ok(output)
    }

    /// Waits until all that was said is written.
    fn end(self) -> Result<()> {
        match self.0.map(JoinHandle::join) {
            Some(Ok(Err(error))) => Err(error.context("keeping the console's log")),
            _ => Ok(()),
        }
    }
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
