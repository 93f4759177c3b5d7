//! The stream's records.
//!
//! ```text
//! 1  secret     u32 length, JSON of what is known of it; u32 length, the value
//! 2  entry      the fields of `Entry`, numbers big-endian, bytes with their length (u32) before them
//! 3  block      u64 offset, u32 length, content of the file whose entry came last
//! 4  end
//! 5  signature  64 bytes
//! ```

use std::io::{Read, Write};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{Error, Result};

pub(super) const SECRET: u8 = 1;
pub(super) const ENTRY: u8 = 2;
pub(super) const BLOCK: u8 = 3;
pub(super) const END: u8 = 4;
pub(super) const SIGNATURE: u8 = 5;

/// The longest path, link or attribute, in bytes: more than Linux has (`PATH_MAX`, `XATTR_SIZE_MAX`).
const MAX_FIELD: usize = 64 << 10;
/// The most extended attributes of an entry.
const MAX_ATTRIBUTES: u32 = 1 << 16;
/// A file's content goes in blocks of so many bytes, at multiples of that; one of zeros is left out.
pub(super) const BLOCK_LEN: usize = 128 << 10;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    /// Its size in bytes, and whether it has several names.
    File {
        size: u64,
        is_linked: bool,
    },
    /// Another name of a file that came before, within the same root.
    Link {
        to: Vec<u8>,
    },
    Symlink {
        to: Vec<u8>,
    },
    Pipe,
}

/// A file, a folder, or whatever else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Which root it lies in.
    pub(super) root: u8,
    /// Its path within that, as the bytes that it is.
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    /// The permission bits, set-user-id and the like included.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// When its content last changed: seconds since 1970, and nanoseconds.
    pub(super) modified: (i64, u32),
    pub(super) attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Entry {
    pub(super) fn write(&self, to: &mut dyn Write) -> Result<()> {
        let (kind, size, is_linked, target): (u8, u64, u8, &[u8]) = match &self.kind {
            Kind::Folder => (0, 0, 0, &[]),
            Kind::File { size, is_linked } => (1, *size, u8::from(*is_linked), &[]),
            Kind::Link { to } => (2, 0, 0, to),
            Kind::Symlink { to } => (3, 0, 0, to),
            Kind::Pipe => (4, 0, 0, &[]),
        };
        to.write_all(&[ENTRY, self.root, kind, is_linked])?;
        for number in [self.mode, self.uid, self.gid, self.modified.1] {
            to.write_all(&number.to_be_bytes())?;
        }
        to.write_all(&self.modified.0.to_be_bytes())?;
        to.write_all(&size.to_be_bytes())?;
        write_bytes(to, &self.path)?;
        write_bytes(to, target)?;
        to.write_all(&u32::try_from(self.attributes.len()).unwrap_or(u32::MAX).to_be_bytes())?;
        for (name, value) in &self.attributes {
            write_bytes(to, name)?;
            write_bytes(to, value)?;
        }
        Ok(())
    }

    /// Reads what follows the tag.
    pub(super) fn read(from: &mut dyn Read) -> Result<Self> {
        let [root, kind, is_linked] = read_array(from)?;
        let mut numbers = [0; 4];
        for number in &mut numbers {
            *number = u32::from_be_bytes(read_array(from)?);
        }
        let [mode, uid, gid, nanos] = numbers;
        let modified = (i64::from_be_bytes(read_array(from)?), nanos);
        let size = u64::from_be_bytes(read_array(from)?);
        let (path, to) = (read_bytes(from, MAX_FIELD)?, read_bytes(from, MAX_FIELD)?);
        let kind = match kind {
            0 => Kind::Folder,
            1 => Kind::File { size, is_linked: is_linked != 0 },
            2 => Kind::Link { to },
            3 => Kind::Symlink { to },
            4 => Kind::Pipe,
            _ => return Err(broken("an entry of an unknown kind")),
        };
        let count = u32::from_be_bytes(read_array(from)?);
        if count > MAX_ATTRIBUTES {
            return Err(broken("an entry with too many attributes"));
        }
        let mut attributes = Vec::new();
        for _ in 0..count {
            attributes.push((read_bytes(from, MAX_FIELD)?, read_bytes(from, MAX_FIELD)?));
        }
        Ok(Self { root, path, kind, mode, uid, gid, modified, attributes })
    }
}

pub(super) fn broken(what: &str) -> Error {
    Error::failed(format!("what is handed over is broken: {what}"))
}

pub(super) fn read_array<const N: usize>(from: &mut dyn Read) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn write_bytes(to: &mut dyn Write, bytes: &[u8]) -> Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| broken("a field that is too long"))?;
    to.write_all(&length.to_be_bytes())?;
    to.write_all(bytes)?;
    Ok(())
}

pub(super) fn read_bytes(from: &mut dyn Read, most: usize) -> Result<Vec<u8>> {
    let length = u32::from_be_bytes(read_array(from)?) as usize;
    if length > most {
        return Err(broken("a field that is too long"));
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// As [`read_bytes`], of what must not stay in memory.
pub(super) fn read_secret(from: &mut dyn Read, most: usize) -> Result<Zeroizing<Vec<u8>>> {
    read_bytes(from, most).map(Zeroizing::new)
}

/// Hashes what goes through.
pub(super) struct Hashing<T> {
    pub(super) inner: T,
    pub(super) hash: Sha256,
}

impl<T> Hashing<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, hash: Sha256::new() }
    }
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.hash.update(&bytes[..read]);
        Ok(read)
    }
}
