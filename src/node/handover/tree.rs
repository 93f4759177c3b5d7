//! The data as records, in the order of their paths: the same tree gives the same records on any file system.

use std::collections::HashMap;
use std::ffi::{CString, OsString};
use std::fs::{File, Metadata};
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, SeekFrom, lgetxattr, llistxattr, seek};
use rustix::io::Errno;

use super::Root;
use super::record::{BLOCK, BLOCK_LEN, Entry, Kind, write_bytes};
use crate::error::Context;
use crate::{Error, Result};

/// Attributes that the machine makes, not whoever wrote the file.
const MACHINES_OWN: [&[u8]; 3] = [b"security.selinux", b"security.ima", b"security.evm"];

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

/// Writes the records of all that lies in `roots`; those that are not there are empty.
pub(super) fn write(roots: &[Root], to: &mut dyn Write) -> Result<Written> {
    let mut written = Written::default();
    for (number, root) in (0..).zip(roots) {
        let mut walk = Walk { root: number, top: root.path.as_std_path(), links: HashMap::new(), to, written };
        if root.path.is_dir() {
            walk.folder(Path::new(""), &root.without)?;
        }
        written = walk.written;
    }
    Ok(written)
}

struct Walk<'a> {
    root: u8,
    top: &'a Path,
    /// The first names of files that have several, by device and inode.
    links: HashMap<(u64, u64), PathBuf>,
    to: &'a mut dyn Write,
    written: Written,
}

impl Walk<'_> {
    fn folder(&mut self, within: &Path, without: &[&str]) -> Result<()> {
        let path = self.top.join(within);
        let reading = || format!("reading {}", path.display());
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&path).with_context(reading)? {
            names.push(entry.with_context(reading)?.file_name());
        }
        names.sort();
        for name in names {
            if !without.iter().any(|left_out| name == *left_out) {
                self.entry(&within.join(&name))?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, within: &Path) -> Result<()> {
        let path = self.top.join(within);
        let seen = std::fs::symlink_metadata(&path).with_context(|| format!("reading {}", path.display()))?;
        let kind = seen.file_type();
        let id = (seen.dev(), seen.ino());
        let kind = if kind.is_dir() {
            Kind::Folder
        } else if kind.is_symlink() {
            let to = std::fs::read_link(&path).with_context(|| format!("reading {}", path.display()))?;
            Kind::Symlink { to: to.into_os_string().into_vec() }
        } else if kind.is_file() {
            match self.links.get(&id) {
                Some(first) => Kind::Link { to: first.as_os_str().as_bytes().to_vec() },
                None => Kind::File { size: seen.len(), is_linked: seen.nlink() > 1 },
            }
        } else if kind.is_fifo() {
            Kind::Pipe
        } else if kind.is_socket() {
            return Ok(());
        } else {
            return Err(Error::failed(format!("{} is a device, which no other machine has", path.display()))
                .hint("remove it, or move it out of the data"));
        };
        let entry = Entry {
            root: self.root,
            path: within.as_os_str().as_bytes().to_vec(),
            kind,
            mode: seen.mode() & 0o7777,
            uid: seen.uid(),
            gid: seen.gid(),
            modified: (seen.mtime(), u32::try_from(seen.mtime_nsec()).unwrap_or_default()),
            attributes: attributes(&path)?,
        };
        entry.write(self.to)?;
        self.written.entries += 1;
        match entry.kind {
            Kind::Folder => self.folder(within, &[]),
            Kind::File { is_linked, .. } => {
                if is_linked {
                    self.links.insert(id, within.to_owned());
                }
                self.content(&path, &seen)
            }
            _ => Ok(()),
        }
    }

    fn content(&mut self, path: &Path, seen: &Metadata) -> Result<()> {
        let reading = || format!("reading {}", path.display());
        let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let file = File::options().read(true).custom_flags(flags).open(path).with_context(reading)?;
        let mut block = vec![0; BLOCK_LEN];
        let mut at = 0;
        while let Some(next) = data_from(&file, at, seen.len()).with_context(reading)? {
            at = next - next % BLOCK_LEN as u64;
            let length = BLOCK_LEN.min(usize::try_from(seen.len() - at).unwrap_or(BLOCK_LEN));
            let block = &mut block[..length];
            file.read_exact_at(block, at).with_context(|| changed(path))?;
            if block.iter().any(|byte| *byte != 0) {
                self.to.write_all(&[BLOCK])?;
                self.to.write_all(&at.to_be_bytes())?;
                write_bytes(self.to, block)?;
                self.written.bytes += block.len() as u64;
            }
            at += length as u64;
        }
        let now = file.metadata().with_context(reading)?;
        let of = |found: &Metadata| (found.ino(), found.len(), found.mtime(), found.mtime_nsec());
        if of(&now) == of(seen) { Ok(()) } else { Err(Error::failed(changed(path))) }
    }
}

fn changed(path: &Path) -> String {
    format!("{} was changed while it was read: something still writes to the data", path.display())
}

/// Where data begins at or behind `at`, holes left out; none where there is none before `end`.
fn data_from(file: &File, at: u64, end: u64) -> std::io::Result<Option<u64>> {
    if at >= end {
        return Ok(None);
    }
    match seek(file, SeekFrom::Data(at)) {
        Ok(found) => Ok(Some(found).filter(|found| *found < end)),
        Err(Errno::NXIO) => Ok(None),
        // A file system that knows of no holes.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(at)),
        Err(error) => Err(error.into()),
    }
}

/// Extended attributes, in the order of their names.
fn attributes(path: &Path) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let reading = || format!("reading the attributes of {}", path.display());
    let mut list = vec![0; 64 << 10];
    let length = match llistxattr(path, &mut list[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(error) => return Err(std::io::Error::from(error)).with_context(reading),
    };
    let mut found = Vec::new();
    for name in list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if MACHINES_OWN.contains(&name) {
            continue;
        }
        let text = CString::new(name).map_err(std::io::Error::from).with_context(reading)?;
        let mut value = vec![0; 64 << 10];
        let length = lgetxattr(path, &text, &mut value[..]).map_err(std::io::Error::from).with_context(reading)?;
        value.truncate(length);
        found.push((name.to_vec(), value));
    }
    found.sort();
    Ok(found)
}

/// A path of its bytes.
pub(super) fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}
