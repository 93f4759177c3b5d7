//! Files: written at once, with owner and mode; and what differs between two of them.

use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};

use camino::Utf8Path;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, Gid, Mode, OFlags, Uid};
use sha2::{Digest, Sha256};

use crate::error::Context;
use crate::{Error, Result};

/// Owner, group and permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Permissions, set-id and sticky bits.
    pub mode: u32,
}

impl Attributes {
    /// Those of an existing file (not of what a symbolic link points to).
    pub fn of(metadata: &std::fs::Metadata) -> Self {
        Self { uid: metadata.uid(), gid: metadata.gid(), mode: metadata.mode() & 0o7777 }
    }
}

/// Writes a file so that at every moment, crashes included, either all of the old content is there or all of the new: a
/// new file beside it, synced, renamed. A symbolic link in its place is replaced, never followed.
///
/// # Errors
/// Fails where the folder is missing or cannot be written.
pub fn write(path: &Utf8Path, content: &[u8], attributes: Attributes) -> Result<()> {
    let draft = Draft::new(path, content, attributes)?;
    draft.put_in_place()
}

/// As [`write()`], keeping the owner that the file has (root for a new one).
///
/// # Errors
/// As [`write()`].
pub fn replace(path: &Utf8Path, content: &[u8], new_mode: u32) -> Result<()> {
    let attributes = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_file() => Attributes::of(&metadata),
        _ => Attributes {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            mode: new_mode,
        },
    };
    write(path, content, attributes)
}

/// A new file beside the one that it shall replace; removed again where it is not put in place.
pub(crate) struct Draft {
    path: camino::Utf8PathBuf,
    draft: camino::Utf8PathBuf,
    done: bool,
}

impl Draft {
    /// Writes the new file and syncs it.
    pub(crate) fn new(path: &Utf8Path, content: &[u8], attributes: Attributes) -> Result<Self> {
        let mut draft = Self::begin(path)?;
        draft.write_all(content).with_context(|| format!("writing {path}"))?;
        draft.finish(attributes)
    }

    /// Begins a new file whose content comes a piece at a time. Until it is finished, only we can read it.
    pub(crate) fn begin(path: &Utf8Path) -> Result<OpenDraft> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::input(format!("{path} is no path of a file")));
        };
        let mut random = [0; 6];
        getrandom::fill(&mut random).map_err(|error| Error::failed(format!("no randomness: {error}")))?;
        let draft = folder.join(format!(".{name}.stead-{}", hex::encode(random)));
        let mut file = fs_err::OpenOptions::new();
        file.write(true).create_new(true);
        fs_err::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
        let file = file.open(&draft)?;
        Ok(OpenDraft { draft: Self { path: path.to_owned(), draft, done: false }, file })
    }

    /// Takes a file of ours that lies elsewhere for the new one: moved here, or copied where it shall stay there too or lies
    /// on another file system.
    pub(crate) fn taking(path: &Utf8Path, from: &Utf8Path, stays: bool, attributes: Attributes) -> Result<Self> {
        let mut draft = Self::begin(path)?;
        // Opened where nobody else can put anything in its place; where the draft lies somebody may.
        let mut file = fs_err::File::open(from)?;
        match if stays { None } else { Some(std::fs::rename(from, &draft.draft.draft)) } {
            Some(Ok(())) => draft.file = file,
            Some(Err(error)) if error.kind() != std::io::ErrorKind::CrossesDevices => {
                return Err(error).with_context(|| format!("moving {from}"));
            }
            _ => {
                copy(&mut file, &mut draft).with_context(|| format!("writing {path}"))?;
            }
        }
        draft.finish(attributes)
    }

    /// Where the new file lies for now.
    pub(crate) fn draft_path(&self) -> &Utf8Path {
        &self.draft
    }

    /// Puts the new file in the old one's place.
    pub(crate) fn put_in_place(mut self) -> Result<()> {
        fs_err::rename(&self.draft, &self.path)?;
        self.done = true;
        sync_parent(&self.path)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.done {
            // Nothing more can be done about a draft that will not go.
            let _ = std::fs::remove_file(&self.draft);
        }
    }
}

/// A draft that is being written.
pub(crate) struct OpenDraft {
    draft: Draft,
    file: fs_err::File,
}

impl OpenDraft {
    /// Gives the new file its owner and mode, and syncs and closes it: one that is open to be written cannot be run.
    pub(crate) fn finish(self, attributes: Attributes) -> Result<Draft> {
        give(self.file.file(), attributes).with_context(|| format!("giving {} its owner and mode", self.draft.path))?;
        self.file.sync_all()?;
        Ok(self.draft)
    }
}

impl Write for OpenDraft {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Keeps a copy of the file that was looked at as `seen`, with its owner and mode, or as root's own with the mode given; as
/// [`open_seen`], never of another one.
///
/// # Errors
/// As [`open_seen`], and where the copy cannot be written.
pub(crate) fn back_up(path: &Utf8Path, seen: &std::fs::Metadata, to: &Utf8Path, own: Option<u32>) -> Result<()> {
    let mut draft = Draft::begin(to)?;
    copy(&mut open_seen(path, seen)?, &mut draft).with_context(|| format!("copying {path} to {to}"))?;
    let attributes = own.map_or(Attributes::of(seen), |mode| Attributes {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        mode,
    });
    draft.finish(attributes)?.put_in_place()
}

/// Copies all that there is to read, a piece at a time, and returns its SHA-256 in lower-case hexadecimal digits.
///
/// # Errors
/// Fails where one cannot be read or the other not be written.
pub(crate) fn copy(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(hex::encode(hash.finalize())),
            Ok(length) => {
                hash.update(&piece[..length]);
                to.write_all(&piece[..length])?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Gives an open file or folder its owner and mode.
pub(crate) fn give(file: impl AsFd, attributes: Attributes) -> std::io::Result<()> {
    rustix::fs::fchown(&file, Some(Uid::from_raw(attributes.uid)), Some(Gid::from_raw(attributes.gid)))?;
    // After the owner, since changing that clears set-id bits.
    Ok(rustix::fs::fchmod(&file, Mode::from_raw_mode(attributes.mode))?)
}

/// Opens the file or folder that was looked at as `seen`, to read. Whoever owns the folder around it may have put
/// something else in its place since, such as a link to a file of root's: that is never followed, and never taken for it.
///
/// # Errors
/// Fails where another thing is there by now, or it cannot be opened.
pub(crate) fn open_seen(path: &Utf8Path, seen: &std::fs::Metadata) -> Result<std::fs::File> {
    let kind = if seen.is_dir() { OFlags::DIRECTORY } else { OFlags::empty() };
    // Without NONBLOCK, a pipe put there would hold us up until somebody wrote into it.
    let flags = kind | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let changed = || Error::failed(format!("{path} was replaced while it was worked on")).hint("converge again");
    let file = match rustix::fs::open(path.as_str(), flags, Mode::empty()) {
        Ok(file) => std::fs::File::from(file),
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR | rustix::io::Errno::NOENT) => return Err(changed()),
        Err(error) => return Err(std::io::Error::from(error)).with_context(|| format!("opening {path}")),
    };
    let found = file.metadata()?;
    if (found.dev(), found.ino()) == (seen.dev(), seen.ino()) { Ok(file) } else { Err(changed()) }
}

/// Gives the file or folder that was looked at as `seen` its owner and mode; as [`open_seen`], never another one.
///
/// # Errors
/// As [`open_seen`], and where they cannot be changed.
pub(crate) fn set_attributes(path: &Utf8Path, seen: &std::fs::Metadata, attributes: Attributes) -> Result<()> {
    give(open_seen(path, seen)?, attributes).with_context(|| format!("giving {path} its owner and mode"))
}

/// Gives all that lies below the folder that was looked at as `seen` its owner. Walks by open folders rather than by
/// names, so that a folder that is swapped for a link meanwhile leads nowhere else.
///
/// # Errors
/// As [`open_seen`], and where an owner cannot be changed.
pub(crate) fn give_below(path: &Utf8Path, seen: &std::fs::Metadata, attributes: Attributes) -> Result<()> {
    let folder = OwnedFd::from(open_seen(path, seen)?);
    walk_owner(&folder, attributes).with_context(|| format!("giving what is below {path} its owner"))
}

fn walk_owner(folder: &OwnedFd, attributes: Attributes) -> std::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let found = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        // One that has it is left alone: changing the owner clears set-id bits.
        if (found.st_uid, found.st_gid) != (attributes.uid, attributes.gid) {
            rustix::fs::chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        if rustix::fs::FileType::from_raw_mode(found.st_mode).is_dir() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            walk_owner(&rustix::fs::openat(folder, name, flags, Mode::empty())?, attributes)?;
        }
    }
    Ok(())
}

/// Syncs the folder that a path lies in, so that a rename or removal in it survives a crash.
///
/// # Errors
/// Fails where the folder cannot be synced.
pub fn sync_parent(path: &Utf8Path) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs_err::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Makes a folder and its parents where they are missing, with the given mode for those that it makes.
///
/// # Errors
/// Fails where one cannot be made.
pub fn make_folder(path: &Utf8Path, mode: u32) -> Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(mode).create(path).with_context(|| format!("making {path}"))
}

/// Removes a file; that it is gone already is fine.
///
/// # Errors
/// Fails where it is there and cannot be removed.
pub fn remove(path: &Utf8Path) -> Result<()> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        Err(_) => Ok(()),
        Ok(()) => sync_parent(path),
    }
}

/// What differs, as a unified diff with three lines of context; none where either side is not text.
pub fn diff(path: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> Option<String> {
    const MOST: usize = 1 << 20;
    let side = |bytes: Option<&[u8]>| match bytes {
        Some(bytes) if bytes.len() > MOST || bytes.contains(&0) => None,
        Some(bytes) => std::str::from_utf8(bytes).ok().map(str::to_owned),
        None => Some(String::new()),
    };
    let (before, after) = (side(old)?, side(new)?);
    let name = |bytes: Option<&[u8]>| if bytes.is_some() { path } else { "/dev/null" };
    let text = similar::TextDiff::from_lines(&before, &after);
    Some(text.unified_diff().context_radius(3).header(name(old), name(new)).to_string())
}

/// Reads octal digits as permissions.
///
/// # Errors
/// Fails where they are none.
pub fn parse_mode(text: &str) -> Result<u32> {
    let legal = (3..=5).contains(&text.len()) && text.bytes().all(|c| (b'0'..=b'7').contains(&c));
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|&mode| legal && mode <= 0o7777)
        .ok_or_else(|| Error::input(format!("{text:?} is not a mode")).hint("write octal digits in quotes: \"0644\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        std::fs::write(dir.join("victim"), "v").unwrap();
        std::os::unix::fs::symlink("victim", dir.join("a")).unwrap();
        replace(&dir.join("a"), b"new", 0o640).unwrap();
        assert_eq!(std::fs::read(dir.join("victim")).unwrap(), b"v");
        let metadata = dir.join("a").symlink_metadata().unwrap();
        assert!(metadata.is_file());
        assert_eq!(Attributes::of(&metadata).mode, 0o640);
        assert_eq!(std::fs::read_dir(dir).unwrap().count(), 2, "no draft is left");
        assert!(replace(&dir.join("no/folder"), b"", 0o644).is_err());
    }

    #[test]
    fn what_was_put_in_a_files_place_meanwhile_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let mode = |name: &str| Attributes::of(&dir.join(name).symlink_metadata().unwrap()).mode;
        let (file, folder) = (dir.join("file"), dir.join("folder"));
        write(&dir.join("victim"), b"", Attributes { mode: 0o600, ..own() }).unwrap();
        std::fs::create_dir(dir.join("victims")).unwrap();
        write(&dir.join("victims/a"), b"", Attributes { mode: 0o600, ..own() }).unwrap();
        let wanted = Attributes { mode: 0o777, ..own() };

        std::fs::write(&file, "").unwrap();
        std::fs::create_dir(&folder).unwrap();
        let (seen_file, seen_folder) = (file.symlink_metadata().unwrap(), folder.symlink_metadata().unwrap());
        set_attributes(&file, &seen_file, wanted).unwrap();
        set_attributes(&folder, &seen_folder, wanted).unwrap();
        assert_eq!((mode("file"), mode("folder")), (0o777, 0o777));

        // Renamed, not removed, so that no new file gets the old one's inode number.
        std::fs::rename(&file, dir.join("was file")).unwrap();
        std::fs::rename(&folder, dir.join("was folder")).unwrap();
        let refused = |says: &str| {
            for result in [
                set_attributes(&file, &seen_file, wanted),
                set_attributes(&folder, &seen_folder, wanted),
                give_below(&folder, &seen_folder, wanted),
            ] {
                assert!(result.unwrap_err().to_string().contains("was replaced"), "{says}");
            }
        };
        refused("gone");
        std::os::unix::fs::symlink("victim", &file).unwrap();
        std::os::unix::fs::symlink("victims", &folder).unwrap();
        refused("a link");
        std::fs::remove_file(&file).unwrap();
        std::fs::remove_file(&folder).unwrap();
        std::fs::hard_link(dir.join("victim"), &file).unwrap();
        std::fs::rename(dir.join("victims"), &folder).unwrap();
        refused("another one");
        assert_eq!((mode("victim"), mode("folder/a")), (0o600, 0o600));
    }

    #[test]
    fn owners_below_a_folder_are_given_without_following_links() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        std::fs::create_dir_all(dir.join("folder/below")).unwrap();
        for name in ["victim", "folder/a", "folder/below/b"] {
            std::fs::write(dir.join(name), "").unwrap();
        }
        std::os::unix::fs::symlink("../../victim", dir.join("folder/below/link")).unwrap();
        let seen = dir.join("folder").symlink_metadata().unwrap();
        give_below(&dir.join("folder"), &seen, Attributes { uid: 1, gid: 1, mode: 0 }).unwrap();
        let owner = |name: &str| dir.join(name).symlink_metadata().unwrap().uid();
        assert_eq!(["folder/a", "folder/below", "folder/below/b", "folder/below/link"].map(owner), [1; 4]);
        assert_eq!(["folder", "victim"].map(owner), [0; 2]);
    }

    fn own() -> Attributes {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Attributes { uid, gid, mode: 0o644 }
    }

    #[test]
    fn modes_are_octal_digits() {
        assert_eq!(parse_mode("0750").unwrap(), 0o750);
        assert_eq!(parse_mode("1777").unwrap(), 0o1777);
        for text in ["", "8", "+x", "0o644", "99", "07777777", "77777"] {
            assert!(parse_mode(text).is_err(), "{text}");
        }
    }

    #[test]
    fn diffs_are_unified_and_binary_has_none() {
        let text = diff("/etc/a", Some(b"a\nb\n"), Some(b"a\nc\n")).unwrap();
        assert!(text.contains("--- /etc/a") && text.contains("-b\n+c"), "{text}");
        assert!(diff("/a", None, Some(b"\0")).is_none());
    }
}
