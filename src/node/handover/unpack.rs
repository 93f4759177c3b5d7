//! Entries as files again. What they say is not trusted: nothing is written but below folders that were made here.

use std::collections::HashSet;
use std::ffi::CString;
use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat, fsync,
    lsetxattr, mknodat, utimensat,
};

use super::record::{BLOCK_LEN, Entry, Kind, broken};
use super::tree::path_of;
use crate::Result;
use crate::error::Context;

/// Writes entries below the folders of their roots.
pub(super) struct Unpack {
    tops: Vec<PathBuf>,
    /// Folders whose own attributes are still to be set, from the outside in.
    open: Vec<Entry>,
    /// The file whose content comes.
    file: Option<(File, Entry)>,
    /// Files that have more names.
    linked: HashSet<(u8, Vec<u8>)>,
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

impl Unpack {
    /// `tops` are folders that are there and empty, in the order of the roots.
    pub(super) fn new(tops: Vec<PathBuf>) -> Self {
        Self { tops, open: Vec::new(), file: None, linked: HashSet::new(), entries: 0, bytes: 0 }
    }

    fn place(&self, entry: &Entry) -> Result<PathBuf> {
        let top = self.tops.get(usize::from(entry.root)).ok_or_else(|| broken("an entry of no root"))?;
        Ok(top.join(path_of(&entry.path)))
    }

    /// An entry comes.
    pub(super) fn entry(&mut self, entry: Entry) -> Result<()> {
        self.end_file()?;
        let within = path_of(&entry.path);
        // A path of plain names, whose folder was made here just now and is not left yet: so no link leads anywhere else.
        let is_plain = within.components().all(|part| matches!(part, Component::Normal(_)));
        let rebuilt: PathBuf = within.components().collect();
        if !is_plain || rebuilt.as_os_str() != within.as_os_str() || entry.path.contains(&0) || entry.path.is_empty() {
            return Err(broken("a path that leads out of its folder"));
        }
        let parent = within.parent().unwrap_or(Path::new(""));
        while let Some(open) = self.open.last() {
            if (open.root, path_of(&open.path).as_path()) == (entry.root, parent) {
                break;
            }
            self.end_folder()?;
        }
        if self.open.is_empty() && parent != Path::new("") {
            return Err(broken("an entry whose folder did not come"));
        }
        let place = self.place(&entry)?;
        let making = || format!("making {}", place.display());
        match &entry.kind {
            Kind::Folder => {
                std::fs::DirBuilder::new().mode(0o700).create(&place).with_context(making)?;
                self.open.push(entry);
            }
            Kind::File { is_linked, .. } => {
                let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
                let mut options = File::options();
                let file = options.write(true).create_new(true).mode(0o600).custom_flags(flags).open(&place);
                if *is_linked {
                    self.linked.insert((entry.root, entry.path.clone()));
                }
                self.file = Some((file.with_context(making)?, entry));
            }
            Kind::Link { to } => {
                if !self.linked.contains(&(entry.root, to.clone())) {
                    return Err(broken("another name of a file that did not come"));
                }
                let first = self.place(&Entry { path: to.clone(), ..entry.clone() })?;
                std::fs::hard_link(first, &place).with_context(making)?;
            }
            Kind::Symlink { to } => {
                std::os::unix::fs::symlink(path_of(to), &place).with_context(making)?;
                settle(&place, &entry)?;
            }
            Kind::Pipe => {
                let made = mknodat(CWD, &place, FileType::Fifo, Mode::from_raw_mode(0o600), 0);
                made.map_err(std::io::Error::from).with_context(making)?;
                settle(&place, &entry)?;
            }
        }
        self.entries += 1;
        Ok(())
    }

    /// Content of the file whose entry came last.
    pub(super) fn block(&mut self, at: u64, content: &[u8]) -> Result<()> {
        let Some((file, Entry { kind: Kind::File { size, .. }, .. })) = &self.file else {
            return Err(broken("content of no file"));
        };
        let end = at.checked_add(content.len() as u64).filter(|end| end <= size && content.len() <= BLOCK_LEN);
        end.ok_or_else(|| broken("content behind the end of its file"))?;
        file.write_all_at(content, at).context("writing what is handed over")?;
        self.bytes += content.len() as u64;
        Ok(())
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self) -> Result<()> {
        self.end_file()?;
        while !self.open.is_empty() {
            self.end_folder()?;
        }
        Ok(())
    }

    fn end_file(&mut self) -> Result<()> {
        let Some((file, entry)) = self.file.take() else { return Ok(()) };
        if let Kind::File { size, .. } = entry.kind {
            file.set_len(size).context("writing what is handed over")?;
        }
        drop(file);
        settle(&self.place(&entry)?, &entry)
    }

    fn end_folder(&mut self) -> Result<()> {
        let Some(entry) = self.open.pop() else { return Ok(()) };
        settle(&self.place(&entry)?, &entry)
    }
}

/// Gives what was made its owner, mode, attributes and time.
fn settle(place: &Path, entry: &Entry) -> Result<()> {
    let settling = || format!("setting the attributes of {}", place.display());
    let is_symlink = matches!(entry.kind, Kind::Symlink { .. });
    let (owner, group) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    let done = chownat(CWD, place, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW);
    done.map_err(std::io::Error::from).with_context(settling)?;
    for (name, value) in &entry.attributes {
        let text = CString::new(&name[..]).map_err(std::io::Error::from).with_context(settling)?;
        let set = lsetxattr(place, &text, value, XattrFlags::empty()).map_err(std::io::Error::from);
        set.with_context(|| format!("{}: {}", settling(), String::from_utf8_lossy(name)))?;
    }
    // Behind the owner and the access list, which both change it; a symlink has none.
    if !is_symlink {
        let done = chmodat(CWD, place, Mode::from_raw_mode(entry.mode), AtFlags::empty());
        done.map_err(std::io::Error::from).with_context(settling)?;
    }
    let time = Timespec { tv_sec: entry.modified.0, tv_nsec: entry.modified.1.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    let done = utimensat(CWD, place, &times, AtFlags::SYMLINK_NOFOLLOW);
    done.map_err(std::io::Error::from).with_context(settling)
}

/// Waits until all of a folder's file system is on the disk.
pub(super) fn sync(folder: &Path) -> Result<()> {
    let file = File::open(folder)?;
    rustix::fs::syncfs(&file).map_err(std::io::Error::from)?;
    fsync(&file).map_err(std::io::Error::from)?;
    Ok(())
}
