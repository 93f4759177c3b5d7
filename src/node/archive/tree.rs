//! Folders and what is in them, walked by open folders rather than by names: whatever is swapped for a link meanwhile, and
//! whatever was one before, leads nowhere else.

use std::collections::BTreeSet;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, Mode};
use rustix::io::Errno;

use super::FOLDER;
use crate::node::files::{self, Attributes};
use crate::{Error, Result};

/// Opens a folder below another one, and makes it with these attributes where it is missing.
pub(super) fn folder(root: &OwnedFd, parts: &[String], made: Option<Attributes>) -> std::io::Result<OwnedFd> {
    let mut folder = root.try_clone()?;
    for part in parts {
        folder = match rustix::fs::openat(&folder, part, FOLDER, Mode::empty()) {
            Err(Errno::NOENT) if let Some(attributes) = made => {
                rustix::fs::mkdirat(&folder, part, Mode::RWXU)?;
                let new = rustix::fs::openat(&folder, part, FOLDER, Mode::empty())?;
                files::give(&new, attributes)?;
                new
            }
            other => other?,
        };
    }
    Ok(folder)
}

fn open(folder: &OwnedFd, name: &str) -> std::io::Result<OwnedFd> {
    Ok(rustix::fs::openat(folder, name, FOLDER, Mode::empty())?)
}

/// What has this name in a folder.
fn kind_of(folder: &OwnedFd, name: &str) -> std::io::Result<Option<FileType>> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(FileType::from_raw_mode(found.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The names in a folder, and what has them.
fn entries(folder: &OwnedFd) -> std::io::Result<Vec<(String, FileType)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "."
            && name != ".."
            && let Some(kind) = kind_of(folder, &name)?
        {
            found.push((name, kind));
        }
    }
    Ok(found)
}

/// Adds the names of all that is in a folder which itself has the name `at`.
pub(super) fn list(folder: &OwnedFd, at: &str, names: &mut BTreeSet<String>) -> std::io::Result<()> {
    for (name, kind) in entries(folder)? {
        let path = join(at, &name);
        if kind.is_dir() {
            list(&open(folder, &name)?, &path, names)?;
        }
        names.insert(path);
    }
    Ok(())
}

/// Checks that no file would have to replace a folder, nor a folder a file, where [`merge`] moves all of `from` to `to`.
pub(super) fn check(from: &OwnedFd, to: &OwnedFd, at: &str) -> Result<()> {
    for (name, kind) in entries(from)? {
        let path = join(at, &name);
        let Some(there) = kind_of(to, &name)? else { continue };
        if there.is_dir() != kind.is_dir() {
            let (is, should) = if there.is_dir() { ("a folder", "not") } else { ("no folder", "one") };
            return Err(Error::failed(format!("{path} is {is} there, and {should} in the archive"))
                .hint("remove it with a `directory` or `file` task and `state: absent` first"));
        }
        if kind.is_dir() {
            check(&open(from, &name)?, &open(to, &name)?, &path)?;
        }
    }
    Ok(())
}

/// Moves all that is in one folder into another one. Files replace those that are there; folders that are there keep owner
/// and mode, unless they are ours. What was not there before becomes ours.
pub(super) fn merge(from: &OwnedFd, to: &OwnedFd, at: &str, ours: &mut BTreeSet<String>) -> std::io::Result<()> {
    for (name, kind) in entries(from)? {
        let path = join(at, &name);
        let there = kind_of(to, &name)?;
        if kind.is_dir() && there.is_some() {
            let (from, to) = (open(from, &name)?, open(to, &name)?);
            if ours.contains(&path) {
                let new = rustix::fs::fstat(&from)?;
                files::give(&to, Attributes { uid: new.st_uid, gid: new.st_gid, mode: new.st_mode & 0o7777 })?;
            }
            merge(&from, &to, &path, ours)?;
            continue;
        }
        rustix::fs::renameat(from, &name, to, &name)?;
        if kind.is_dir() {
            list(&open(to, &name)?, &path, ours)?;
        }
        if there.is_none() {
            ours.insert(path);
        }
    }
    Ok(rustix::fs::fsync(to)?)
}

/// Removes what has these names; that it is gone already is fine, and a folder with something else in it stays.
pub(super) fn remove(root: &OwnedFd, names: &BTreeSet<String>) -> std::io::Result<()> {
    // Backwards, what is in a folder comes before the folder.
    for name in names.iter().rev().filter(|name| *name != super::ITSELF) {
        let mut parts: Vec<String> = name.split('/').map(str::to_owned).collect();
        let Some(last) = parts.pop() else { continue };
        let Ok(folder) = folder(root, &parts, None) else { continue };
        let Some(found) = kind_of(&folder, &last)? else { continue };
        let flags = if found.is_dir() { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        match rustix::fs::unlinkat(&folder, &last, flags) {
            Err(error) if !matches!(error, Errno::NOTEMPTY | Errno::NOENT) => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") }
}
