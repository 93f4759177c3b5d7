//! The lock on a fleet: one program at a time changes it, and the next one is told who.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::private::private_dir;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::error::Context;
use crate::{Error, Result, ownership};

/// How long a taker tries: whoever only asks who holds the lock is in the way for an instant, and a new holder's name is
/// written an instant after it took the lock.
const PATIENCE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(20);

/// Who holds a fleet's lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHolder {
    /// Its process id; 0 where it is unknown.
    pub pid: u32,
    /// What it does (`stead up`); `stead` where that is unknown.
    pub command: String,
    /// Since when; where it is unknown, when it was asked.
    pub since: Timestamp,
}

impl LockHolder {
    fn unknown() -> Self {
        Self { pid: 0, command: "stead".into(), since: SystemClock.now() }
    }
}

/// "`stead up` (process 4711)", or "another stead" where the holder is unknown.
impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            0 => f.write_str("another stead"),
            pid => write!(f, "`{}` (process {pid})", self.command),
        }
    }
}

/// The right to change a fleet in embedded mode. The kernel takes it back when the holder ends, however it ends.
#[derive(Debug)]
pub struct FleetLock(File);

impl FleetLock {
    /// Takes the lock of the `.stead` folder `dir`; `command` is what others are told of us. Waits for a second at most.
    ///
    /// # Errors
    /// Fails where another program holds it; the error names that program.
    pub fn take(dir: &Utf8Path, command: &str) -> Result<Self> {
        Self::try_take(dir, command)?.map_err(|holder| held(&holder))
    }

    /// As [`take`](Self::take), for those who can go on without it: gives back who holds it where another program does.
    ///
    /// # Errors
    /// Fails where the lock's file cannot be written.
    pub fn try_take(dir: &Utf8Path, command: &str) -> Result<Result<Self, LockHolder>> {
        private_dir(dir)?;
        let path = file(dir);
        let mut file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("opening {path}"))?;
        ownership::inherit(&path)?;
        let deadline = Instant::now() + PATIENCE;
        while !try_lock(&file, FlockOperation::NonBlockingLockExclusive, &path)? {
            if Instant::now() >= deadline {
                return Ok(Err(holder_of(&mut file, &path)?.unwrap_or_else(LockHolder::unknown)));
            }
            std::thread::sleep(POLL);
        }
        let holder = LockHolder { pid: std::process::id(), command: command.to_owned(), since: SystemClock.now() };
        let text = serde_json::to_vec(&holder).map_err(|error| Error::failed("naming the holder").because(error))?;
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(&text)?;
        Ok(Ok(Self(file)))
    }

    /// Who holds the lock of the `.stead` folder `dir`, if anybody does.
    ///
    /// # Errors
    /// Fails where the lock cannot be read.
    pub fn holder(dir: &Utf8Path) -> Result<Option<LockHolder>> {
        let path = file(dir);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("opening {path}")),
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            match holder_of(&mut file, &path)? {
                Some(holder) if holder.pid == 0 && Instant::now() < deadline => std::thread::sleep(POLL),
                found => return Ok(found),
            }
        }
    }
}

impl Drop for FleetLock {
    fn drop(&mut self) {
        // Whoever comes next must not be taken for us before it has written its own name.
        let _ = self.0.set_len(0);
        // Otherwise a child that inherited the descriptor would hold the lock on.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

fn file(dir: &Utf8Path) -> Utf8PathBuf {
    dir.join("lock")
}

/// Locks the file; whether nobody was in the way.
fn try_lock(file: &File, operation: FlockOperation, path: &Utf8Path) -> Result<bool> {
    match rustix::fs::flock(file, operation) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(std::io::Error::from(error)).with_context(|| format!("locking {path}")),
    }
}

/// Who holds the lock for itself alone, if anybody does. Others who ask, as we do, share it for an instant and are not
/// holders; whatever name stands in the file then is that of an earlier one.
fn holder_of(file: &mut File, path: &Utf8Path) -> Result<Option<LockHolder>> {
    if try_lock(file, FlockOperation::NonBlockingLockShared, path)? {
        rustix::fs::flock(&*file, FlockOperation::Unlock).map_err(std::io::Error::from)?;
        return Ok(None);
    }
    Ok(Some(read(file).filter(is_alive).unwrap_or_else(LockHolder::unknown)))
}

fn read(file: &mut File) -> Option<LockHolder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// A name that a killed holder left stands there until the next one has written its own.
fn is_alive(holder: &LockHolder) -> bool {
    let pid = i32::try_from(holder.pid).ok().and_then(rustix::process::Pid::from_raw);
    // One that we may not send signals to lives all the same.
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

fn held(holder: &LockHolder) -> Error {
    let who = match holder.pid {
        0 => holder.to_string(),
        pid => {
            let since = holder.since.format("%Y-%m-%d %H:%M:%S UTC");
            format!("`{}` (process {pid}, since {since})", holder.command)
        }
    };
    Error::failed(format!("this fleet is in use by {who}"))
        .hint("wait until it is done, or end that process; `stead status` can be used meanwhile")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_is_first() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap().join(".stead");
        assert_eq!(FleetLock::holder(&dir).unwrap(), None);
        let first = FleetLock::take(&dir, "stead up").unwrap();
        assert_eq!(FleetLock::holder(&dir).unwrap().unwrap().pid, std::process::id());
        assert_eq!(FleetLock::try_take(&dir, "stead down").unwrap().unwrap_err().command, "stead up");
        let error = FleetLock::take(&dir, "stead down").unwrap_err();
        assert!(error.to_string().contains("`stead up` (process "), "{error}");
        drop(first);
        assert_eq!(FleetLock::holder(&dir).unwrap(), None);
        FleetLock::take(&dir, "stead down").unwrap();
    }

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let guard = tempfile::tempdir().unwrap();
        let dir = Utf8PathBuf::from_path_buf(guard.path().join(".stead")).unwrap();
        (guard, dir)
    }

    #[test]
    fn those_who_ask_are_in_nobodys_way() {
        let (_guard, dir) = folder();
        drop(FleetLock::take(&dir, "stead up").unwrap());
        let asking = File::open(file(&dir)).unwrap();
        rustix::fs::flock(&asking, FlockOperation::LockShared).unwrap();
        let asker = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            drop(asking);
        });
        FleetLock::take(&dir, "stead down").unwrap();
        asker.join().unwrap();
    }

    #[test]
    fn a_name_is_told_only_of_one_who_holds_it() {
        let (_guard, dir) = folder();
        private_dir(&dir).unwrap();
        // A process id that no process has: the kernel gives none above this one (PID_MAX_LIMIT).
        let gone = LockHolder { pid: (1 << 22) + 1, command: "stead old".into(), since: SystemClock.now() };
        for left in [Vec::new(), serde_json::to_vec(&gone).unwrap()] {
            std::fs::write(file(&dir), left).unwrap();
            let locked = File::open(file(&dir)).unwrap();
            rustix::fs::flock(&locked, FlockOperation::LockExclusive).unwrap();
            let error = FleetLock::take(&dir, "stead down").unwrap_err();
            assert!(error.to_string().contains("in use by another stead"), "{error}");
            assert_eq!(FleetLock::holder(&dir).unwrap().unwrap().to_string(), "another stead");
            drop(locked);
            let asking = File::open(file(&dir)).unwrap();
            rustix::fs::flock(&asking, FlockOperation::LockShared).unwrap();
            let error = FleetLock::take(&dir, "stead down").unwrap_err();
            assert!(error.to_string().contains("in use by another stead"), "{error}");
            assert_eq!(FleetLock::holder(&dir).unwrap(), None);
        }
    }
}
