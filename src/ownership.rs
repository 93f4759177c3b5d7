//! Who owns what root makes in a folder of somebody else's.

use std::fs::File;

use camino::Utf8Path;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use crate::Result;
use crate::error::Context;

/// Gives a file or folder that root made to the owner and group of the folder that it lies in.
///
/// Without this, one command under sudo locks a fleet's owner out of the fleet's own state. Does nothing where this
/// process is not root, where root owns the folder as well, where something else than root owns the path already, and
/// where nothing is there.
///
/// The folder's owner may put anything into it, so links are never followed, and a file with a second name is left
/// alone: neither may make root give away what lies elsewhere.
///
/// # Errors
/// Fails as the file system does.
pub fn inherit(path: &Utf8Path) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let Some(folder) = path.parent() else { return Ok(()) };
    let folder = if folder.as_str().is_empty() { Utf8Path::new(".") } else { folder };
    give(path, folder).with_context(|| format!("giving {path} to the owner of {folder}"))
}

fn give(path: &Utf8Path, folder: &Utf8Path) -> std::io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path.as_std_path(), flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let (found, owner) = (rustix::fs::fstat(&file)?, rustix::fs::stat(folder.as_std_path())?);
    let ours = match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => true,
        FileType::RegularFile => found.st_nlink == 1,
        _ => false,
    };
    if !ours || found.st_uid != 0 || owner.st_uid == 0 {
        return Ok(());
    }
    let (user, group) = (rustix::fs::Uid::from_raw(owner.st_uid), rustix::fs::Gid::from_raw(owner.st_gid));
    rustix::fs::chownat(&file, "", Some(user), Some(group), AtFlags::EMPTY_PATH)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, chown, symlink};

    use super::*;

    /// Debian's `nobody`.
    const NOBODY: u32 = 65534;

    #[test]
    fn rooted_what_root_makes_is_the_folders_owners_and_links_lead_nowhere() {
        let temp = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temp.path()).unwrap();
        let folder = root.join("fleet");
        std::fs::create_dir(&folder).unwrap();
        chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
        for outside in ["linked", "twice"] {
            std::fs::write(root.join(outside), "root's").unwrap();
        }
        std::fs::create_dir_all(folder.join("made/deeper")).unwrap();
        symlink(root.join("linked"), folder.join("link")).unwrap();
        std::fs::hard_link(root.join("twice"), folder.join("twice")).unwrap();
        for name in ["made", "made/deeper", "link", "twice", "missing"] {
            inherit(&folder.join(name)).unwrap();
        }
        let owner = |path: &Utf8Path| std::fs::symlink_metadata(path).unwrap().uid();
        assert_eq!(owner(&folder.join("made/deeper")), NOBODY, "by way of the folder above it");
        assert_eq!((owner(&root.join("linked")), owner(&root.join("twice"))), (0, 0));
        inherit(&root.join("linked")).unwrap();
        assert_eq!(owner(&root.join("linked")), 0, "root's folder holds root's files");
    }
}
