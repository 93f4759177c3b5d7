//! Files that survive a crash: either the whole of the new content is there, or what was there before.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::Context;
use crate::{Error, Result};

/// Writes a file as a whole: aside, synced, renamed over what was there, the folder synced.
///
/// `mode` holds the permission bits, whatever the process's umask.
///
/// # Errors
/// Fails as the file system does; what was there before then stays, and nothing is left beside it.
pub fn write(path: &Utf8Path, contents: &[u8], mode: u32) -> Result<()> {
    let aside = Aside::write(path, contents, mode)?;
    std::fs::rename(&aside.path, path).with_context(|| format!("putting {path} in place"))?;
    aside.done();
    sync_folder(path)
}

/// Writes a file only where none is: of several processes that do this at once, one wins whole. Returns whether this
/// call made the file.
///
/// # Errors
/// As [`write()`].
pub fn create(path: &Utf8Path, contents: &[u8], mode: u32) -> Result<bool> {
    let aside = Aside::write(path, contents, mode)?;
    match std::fs::hard_link(&aside.path, path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error).with_context(|| format!("putting {path} in place")),
    }
    drop(aside);
    sync_folder(path)?;
    Ok(true)
}

/// Removes a file for good (the folder is synced). Returns whether there was one.
///
/// # Errors
/// Fails as the file system does.
pub fn remove(path: &Utf8Path) -> Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => sync_folder(path).map(|()| true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("removing {path}")),
    }
}

/// Reads a file; `None` where there is none.
///
/// # Errors
/// Fails as the file system does.
pub fn read(path: &Utf8Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(contents) => Ok(Some(contents)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {path}")),
    }
}

/// Makes a folder that only its owner may enter (0700), with its parents; one that is there is narrowed to that.
///
/// # Errors
/// Fails as the file system does.
pub fn private_folder(path: &Utf8Path) -> Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_str().is_empty()) {
        std::fs::create_dir_all(parent).with_context(|| format!("making {parent}"))?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("making {path}"));
        }
        _ => {}
    }
    std::fs::set_permissions(path, Permissions::from_mode(0o700)).with_context(|| format!("narrowing {path} to 0700"))
}

/// Makes a rename or a removal in the path's folder last.
///
/// # Errors
/// Fails as the file system does.
pub fn sync_folder(path: &Utf8Path) -> Result<()> {
    let folder = folder_of(path);
    File::open(folder).and_then(|folder| folder.sync_all()).with_context(|| format!("syncing {folder}"))
}

fn folder_of(path: &Utf8Path) -> &Utf8Path {
    match path.parent() {
        Some(parent) if !parent.as_str().is_empty() => parent,
        _ => Utf8Path::new("."),
    }
}

/// A file beside the one to come; removed when dropped before it was renamed.
struct Aside {
    path: Utf8PathBuf,
    renamed: bool,
}

impl Aside {
    fn write(path: &Utf8Path, contents: &[u8], mode: u32) -> Result<Self> {
        let name = path.file_name().ok_or_else(|| Error::input(format!("{path} does not name a file")))?;
        let mut tag = [0; 8];
        getrandom::fill(&mut tag).map_err(|error| Error::failed(format!("no randomness: {error}")))?;
        let aside = folder_of(path).join(format!(".{name}.{}.new", hex::encode(tag)));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            // Never wider than asked for, not even until the mode is set.
            .mode(mode & 0o700)
            .open(&aside)
            .with_context(|| format!("writing {path}"))?;
        let written = Self { path: aside, renamed: false };
        file.write_all(contents)
            .and_then(|()| file.set_permissions(Permissions::from_mode(mode)))
            .and_then(|()| file.sync_all())
            .with_context(|| format!("writing {path}"))?;
        Ok(written)
    }

    fn done(mut self) {
        self.renamed = true;
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if !self.renamed {
            // The error that led here is the one to report.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        (dir, path)
    }

    #[test]
    fn replaces_whole_and_leaves_nothing_beside() {
        let (_guard, dir) = folder();
        let path = dir.join("key");
        write(&path, b"one", 0o600).unwrap();
        write(&path, b"two", 0o640).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
    }

    #[test]
    fn creates_once() {
        let (_guard, dir) = folder();
        let path = dir.join("key");
        assert!(create(&path, b"one", 0o600).unwrap());
        assert!(!create(&path, b"two", 0o600).unwrap());
        assert_eq!(read(&path).unwrap().unwrap(), b"one");
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
        assert!(remove(&path).unwrap() && !remove(&path).unwrap());
        assert_eq!(read(&path).unwrap(), None);
    }
}
