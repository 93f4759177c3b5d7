//! Who may change the node: the controller with the highest fence, one session at a time.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::time::{Duration, Instant};

use camino::Utf8Path;

use crate::error::Context;
use crate::node::{Paths, files};
use crate::{Error, Result};

/// How long a session waits for another one to finish what it is doing.
const PATIENCE: Duration = Duration::from_secs(10);

/// Notes a controller's fence; returns the highest that was ever seen, which is that one.
///
/// # Errors
/// Fails where a higher one was seen: a newer controller has taken the node over.
pub(crate) fn raise_fence(paths: &Paths, fence: u64) -> Result<u64> {
    let mut file = open(paths, &paths.fence())?;
    file.lock()?;
    let seen = read_fence(&mut file)?;
    if fence < seen {
        return Err(fenced_off(fence, seen));
    }
    if fence > seen {
        // Written in place, under the lock: a number of fixed width in one block is written whole or not at all.
        file.rewind()?;
        file.write_all(format!("{fence:020}\n").as_bytes())?;
        file.sync_all()?;
        files::sync_parent(&paths.fence())?;
    }
    Ok(fence)
}

fn read_fence(file: &mut File) -> Result<u64> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text).context("reading the fence")?;
    match text.trim() {
        "" => Ok(0),
        digits => digits
            .parse()
            .map_err(|_| Error::failed(format!("the fence on the node is {digits:?}, which is no number"))),
    }
}

fn fenced_off(fence: u64, seen: u64) -> Error {
    Error::failed(format!("the node has seen the fence {seen}, and refuses {fence}"))
        .hint("another controller has taken this node over: look for its work with `stead workflow list`")
}

/// The right to change the node, for as long as it is held.
pub(crate) struct Claim {
    _file: File,
}

impl Claim {
    /// Takes the right for a session, whose name is shown to those who have to wait.
    ///
    /// # Errors
    /// Fails where another session holds it for longer than ten seconds, or a higher fence was seen since.
    pub(crate) fn take(paths: &Paths, fence: u64, name: &str) -> Result<Self> {
        Self::take_within(paths, fence, name, PATIENCE)
    }

    fn take_within(paths: &Paths, fence: u64, name: &str, patience: Duration) -> Result<Self> {
        let mut file = open(paths, &paths.lock())?;
        let deadline = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(std::fs::TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(std::fs::TryLockError::WouldBlock) => {
                    let holder = fs_err::read_to_string(paths.lock()).unwrap_or_default();
                    return Err(Error::failed(format!("another session is changing this node: {}", holder.trim()))
                        .hint("wait until it is done, then try again"));
                }
                Err(std::fs::TryLockError::Error(error)) => return Err(error.into()),
            }
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{name}")?;
        let mut fence_file = open(paths, &paths.fence())?;
        fence_file.lock()?;
        let seen = read_fence(&mut fence_file)?;
        if seen > fence {
            return Err(fenced_off(fence, seen));
        }
        Ok(Self { _file: file })
    }
}

/// Waits, for as long as it takes, until no session changes the node; and keeps them away for as long as the file is held.
///
/// # Errors
/// Fails where the lock cannot be opened.
pub(crate) fn wait(paths: &Paths, name: &str) -> Result<File> {
    let mut file = open(paths, &paths.lock())?;
    file.lock()?;
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{name}")?;
    Ok(file)
}

fn open(paths: &Paths, path: &Utf8Path) -> Result<File> {
    files::make_folder(&paths.state_dir(), 0o700)?;
    let mut options = fs_err::OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    fs_err::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(options.open(path)?.into_parts().0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths() -> (tempfile::TempDir, Paths) {
        let dir = tempfile::tempdir().unwrap();
        let root = camino::Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        (dir, Paths::new(root))
    }

    #[test]
    fn a_lower_fence_is_refused_for_ever() {
        let (_dir, paths) = paths();
        assert_eq!(raise_fence(&paths, 7).unwrap(), 7);
        assert_eq!(raise_fence(&paths, 7).unwrap(), 7);
        assert!(raise_fence(&paths, 6).unwrap_err().to_string().contains("fence 7"));
        assert_eq!(raise_fence(&paths, u64::MAX).unwrap(), u64::MAX);
        assert!(raise_fence(&paths, 8).is_err());
    }

    #[test]
    fn one_session_changes_the_node_and_is_named_to_the_others() {
        let (_dir, paths) = paths();
        let claim = Claim::take(&paths, 1, "session A").unwrap();
        let error = Claim::take_within(&paths, 1, "session B", Duration::ZERO).map(drop).unwrap_err();
        assert!(error.to_string().contains("session A"), "{error}");
        drop(claim);
        Claim::take(&paths, 1, "session B").unwrap();
    }

    #[test]
    fn a_session_that_slept_through_a_takeover_changes_nothing() {
        let (_dir, paths) = paths();
        raise_fence(&paths, 1).unwrap();
        raise_fence(&paths, 2).unwrap();
        assert!(Claim::take(&paths, 1, "old").is_err());
    }
}
