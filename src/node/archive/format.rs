//! An archive's format, told by its first bytes: a name may say anything.

use std::io::{BufRead, Cursor, Read};

use crate::{Error, Result};

/// The most memory that unpacking xz may take, in KiB: what `xz -9` needs, and some more.
const XZ_MEMORY: u32 = 256 << 10;
/// How much is looked at, in bytes: a tar header.
const HEAD: u64 = 512;

/// The tar archive within what is read.
///
/// # Errors
/// Fails where it is none that we know.
pub(super) fn open<'a>(mut from: Box<dyn BufRead + 'a>) -> Result<Box<dyn Read + 'a>> {
    let mut head = Vec::new();
    from.by_ref().take(HEAD).read_to_end(&mut head).map_err(|error| Error::failed("reading it").because(error))?;
    let starts = |magic: &[u8]| head.starts_with(magic);
    // In POSIX's ustar and in GNU's format alike (tar(5)).
    let is_tar = head.get(257..262) == Some(b"ustar");
    let (gzip, xz, zstd) = (starts(b"\x1f\x8b"), starts(b"\xfd7zXZ\0"), starts(b"\x28\xb5\x2f\xfd"));
    let other = if starts(b"PK") { "a zip archive" } else { "no archive that we know" };
    let all = Cursor::new(head).chain(from);
    if gzip {
        Ok(Box::new(flate2::bufread::MultiGzDecoder::new(all)))
    } else if xz {
        Ok(Box::new(lzma_rust2::XzReader::new_mem_limit(all, true, XZ_MEMORY)))
    } else if zstd {
        let decoder =
            zstd::Decoder::with_buffer(all).map_err(|error| Error::failed("unpacking zstd").because(error))?;
        Ok(Box::new(decoder))
    } else if is_tar {
        Ok(Box::new(all))
    } else {
        Err(Error::failed(format!("it is {other}"))
            .hint("tar archives are, as they are or packed by gzip, xz or zstd; for others take a `command` task"))
    }
}
