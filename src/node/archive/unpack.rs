//! Unpacking a tar archive into an empty folder.

use std::fs::File;
use std::io::Read;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use tar::{Entry, EntryType};

use super::{name, tree};
use crate::node::files::{self, Attributes};
use crate::{Error, Result};

/// Unpacks all of an archive; its files and folders get this owner.
pub(super) fn unpack(from: Box<dyn Read + '_>, into: &OwnedFd, strip: usize, owner: Attributes) -> Result<()> {
    let mut archive = tar::Archive::new(from);
    let mut count = 0_usize;
    for entry in archive.entries().map_err(broken)? {
        count += usize::from(one(&mut entry.map_err(broken)?, into, strip, owner)?);
    }
    // What comes behind the archive's end holds the compression's checksum.
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink()).map_err(broken)?;
    match (count, strip) {
        (0, 0) => Err(Error::failed("nothing is in it")),
        (0, _) => Err(Error::failed(format!("nothing is left of it with `strip: {strip}`"))
            .hint("`tar -tf ARCHIVE` shows the names in it")),
        _ => Ok(()),
    }
}

fn broken(error: std::io::Error) -> Error {
    // What the system says is no fault of the archive's.
    if error.raw_os_error().is_some() {
        return Error::from(error).context("unpacking it");
    }
    Error::failed("it is broken").because(error).hint("is it whole? Compare its hash with its publisher's")
}

/// Unpacks one entry; whether there was something to unpack.
fn one(entry: &mut Entry<'_, impl Read>, into: &OwnedFd, strip: usize, owner: Attributes) -> Result<bool> {
    let (kind, full) = (entry.header().entry_type(), entry.path_bytes().into_owned());
    // Git's archives begin with one.
    if kind.is_pax_global_extensions() {
        return Ok(false);
    }
    // GNU's newer form of files with holes, which `tar` does not know, would become other files under other names.
    let is_holey = |key: &str| key.starts_with("GNU.sparse.");
    let extensions = entry.pax_extensions().map_err(broken)?;
    if extensions.into_iter().flatten().any(|one| one.is_ok_and(|one| one.key().is_ok_and(is_holey))) {
        return Err(Error::failed(format!("its {:?} is a sparse file of PAX's", String::from_utf8_lossy(&full)))
            .hint("pack it without `--sparse`, or with `--format=gnu`"));
    }
    let mut parts = name::parts(&full, strip)?;
    let Some(last) = parts.pop() else { return Ok(false) };
    let says = |error: std::io::Error| {
        Error::from(error).context(format!("its {:?} cannot be unpacked", String::from_utf8_lossy(&full)))
    };
    let mode = entry.header().mode().map_err(broken)?;
    let parent = tree::folder(into, &parts, Some(Attributes { mode: 0o755, ..owner })).map_err(says)?;
    // An older tar tells a folder by the end of its name.
    if kind.is_dir() || (kind.is_file() && full.ends_with(b"/")) {
        let folder = tree::folder(&parent, &[last], Some(owner)).map_err(says)?;
        files::give(folder, Attributes { mode: name::folder_mode(mode), ..owner }).map_err(says)?;
        return Ok(true);
    }
    match kind {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = anew(&parent, &last, || rustix::fs::openat(&parent, &last, flags, Mode::RUSR | Mode::WUSR));
            let mut file = File::from(file.map_err(says)?);
            std::io::copy(entry, &mut file).map_err(broken)?;
            files::give(&file, Attributes { mode: name::file_mode(mode), ..owner }).map_err(says)?;
            let seconds = entry.header().mtime().map_err(broken)?.try_into().unwrap_or_default();
            let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
            let times = Timestamps { last_access: time, last_modification: time };
            rustix::fs::futimens(&file, &times).map_err(|error| says(error.into()))?;
        }
        EntryType::Symlink => {
            let target = entry.link_name_bytes().unwrap_or_default().into_owned();
            let target = name::target(&full, &target, parts.len())?;
            anew(&parent, &last, || rustix::fs::symlinkat(target, &parent, &last)).map_err(says)?;
            let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
            rustix::fs::chownat(&parent, &last, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| says(error.into()))?;
        }
        EntryType::Link => {
            let mut target = name::parts(&entry.link_name_bytes().unwrap_or_default(), strip)?;
            let name = target.pop().ok_or_else(|| says(Errno::NOENT.into()))?;
            let folder = tree::folder(into, &target, None).map_err(says)?;
            anew(&parent, &last, || rustix::fs::linkat(&folder, &name, &parent, &last, AtFlags::empty()))
                .map_err(says)?;
        }
        _ => {
            return Err(Error::failed(format!(
                "its {:?} is neither file nor folder nor link, and is not unpacked",
                String::from_utf8_lossy(&full)
            )));
        }
    }
    Ok(true)
}

/// Makes something under a name; of two entries of one name, the last one counts.
fn anew<T>(parent: &OwnedFd, name: &str, make: impl Fn() -> rustix::io::Result<T>) -> std::io::Result<T> {
    match make() {
        Err(Errno::EXIST) => {
            rustix::fs::unlinkat(parent, name, AtFlags::empty())?;
            Ok(make()?)
        }
        other => Ok(other?),
    }
}
