//! Archives, unpacked by ourselves: whatever an archive holds, nothing in it leads out of the folder that it is unpacked
//! to, neither by its own links nor by those that are there already.
//!
//! An archive is unpacked aside, as a whole, and only then put in place: one that is broken, or is not to be trusted,
//! changes nothing.

mod format;
mod name;
pub(crate) mod record;
mod tree;
mod unpack;

use std::collections::BTreeSet;
use std::io::BufRead;
use std::os::unix::fs::DirBuilderExt;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};

use crate::error::Context;
use crate::node::files::{self, Attributes};
use crate::{Error, Result};

/// How a folder is opened: never through a link in its place.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// What stands for the folder itself among the names of what was brought.
const ITSELF: &str = ".";

/// Unpacks an archive to the folder `place`, which is made where it is missing, leaving out `strip` leading parts of each
/// name. Returns the names of what is ours there: what was not there before, and what is in `ours`.
///
/// # Errors
/// Fails where it is no archive that we know, is broken or leads out of the folder: then nothing was changed. Fails as well
/// where it holds a file in place of a folder that is there, or the other way round.
pub(crate) fn unpack(
    from: Box<dyn BufRead + '_>,
    place: &Utf8Path,
    strip: usize,
    attributes: Attributes,
    ours: BTreeSet<String>,
) -> Result<BTreeSet<String>> {
    let is_new = place.symlink_metadata().is_err();
    if let (true, Some(parent)) = (is_new, place.parent()) {
        files::make_folder(parent, 0o755)?;
    }
    let aside = Aside::make(place, is_new)?;
    unpack::unpack(format::open(from)?, &aside.folder, strip, attributes)?;
    // Once for all files, before they have their names.
    rustix::fs::syncfs(&aside.folder).map_err(std::io::Error::from).context("syncing what was unpacked")?;
    let mut brought = ours;
    if is_new {
        tree::list(&aside.folder, "", &mut brought)?;
        brought.insert(ITSELF.to_owned());
        files::give(&aside.folder, attributes)?;
        fs_err::rename(&aside.path, place)?;
        files::sync_parent(place)?;
    } else {
        let folder = rustix::fs::open(place.as_str(), FOLDER, Mode::empty()).map_err(std::io::Error::from);
        let folder = folder.with_context(|| format!("opening {place}"))?;
        tree::check(&aside.folder, &folder, "").with_context(|| format!("it does not fit into {place}"))?;
        if brought.contains(ITSELF) {
            files::give(&folder, attributes)?;
        }
        tree::merge(&aside.folder, &folder, "", &mut brought).with_context(|| format!("unpacking over {place}"))?;
    }
    Ok(brought)
}

/// Removes what an archive brought to the folder `place`; folders stay where something else is in them.
///
/// # Errors
/// Fails where something cannot be removed.
pub(crate) fn remove(place: &Utf8Path, brought: &BTreeSet<String>) -> Result<()> {
    let Ok(folder) = rustix::fs::open(place.as_str(), FOLDER, Mode::empty()) else { return Ok(()) };
    tree::remove(&folder, brought).with_context(|| format!("removing what was unpacked to {place}"))?;
    if brought.contains(ITSELF) {
        match std::fs::remove_dir(place) {
            Err(error) if error.kind() != std::io::ErrorKind::DirectoryNotEmpty => return Err(error.into()),
            _ => {}
        }
    }
    files::sync_parent(place)
}

/// The folder that is unpacked to first; removed again where it was not put in place.
struct Aside {
    path: Utf8PathBuf,
    folder: OwnedFd,
}

impl Aside {
    /// Within the folder that is there, since that may be a file system of its own; beside the one that is not.
    fn make(place: &Utf8Path, is_new: bool) -> Result<Self> {
        let path = if is_new {
            place.with_file_name(format!(".{}.stead-unpack", place.file_name().unwrap_or_default()))
        } else {
            place.join(".stead-unpack")
        };
        // A run that was killed has left it behind. Links in it are removed, not followed.
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {path}"));
            }
            _ => {}
        }
        // Closed to everybody until all of it has its owner.
        std::fs::DirBuilder::new().mode(0o700).create(&path).with_context(|| format!("making {path}"))?;
        let folder = rustix::fs::open(path.as_str(), FOLDER, Mode::empty()).map_err(std::io::Error::from);
        let folder = folder.with_context(|| format!("opening {path}"))?;
        let is_ours = rustix::fs::fstat(&folder).is_ok_and(|found| found.st_uid == rustix::process::geteuid().as_raw());
        if is_ours { Ok(Self { path, folder }) } else { Err(Error::failed(format!("{path} was replaced"))) }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // What does not go now is removed by the next run; one that was put in place is not there any more.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests;
