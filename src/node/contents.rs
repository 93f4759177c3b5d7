//! Content that the controller sends apart from its plan: brought here when a change needs it, checked by its hash, gone
//! when the run has ended well. What a connection that was cut has left is gone on with by the next run.

use std::io::{Read, Seek, Write};

use camino::Utf8PathBuf;

use super::machine::Apart;
use super::{Paths, files};
use crate::error::Context;
use crate::{Error, Result};

/// What sends content: given its SHA-256 and how many bytes of it are there already, it writes the rest.
pub(crate) type Source<'a> = &'a mut dyn FnMut(&str, u64, &mut dyn Write) -> Result<()>;

/// What is left free of the disk, in bytes: a node whose disk is full does not even say so.
const ROOM: u64 = 32 << 20;

/// Where content lies once it is here.
pub(crate) fn place(paths: &Paths, content: &Apart) -> Utf8PathBuf {
    paths.content_dir().join(&content.hash)
}

/// Brings content here, unless it is here.
///
/// # Errors
/// Fails where the disk is full, where the source fails, and where what came is not the content that was asked for.
pub(crate) fn bring(paths: &Paths, content: &Apart, source: Source<'_>) -> Result<()> {
    let place = place(paths, content);
    if place.exists() {
        return Ok(());
    }
    files::make_folder(&paths.content_dir(), 0o700)?;
    let part = paths.content_dir().join(format!("{}.part", content.hash));
    let mut options = fs_err::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    fs_err::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&part)?;
    let have = file.seek(std::io::SeekFrom::End(0))?;
    let (free, needed) = (free(paths)?, content.size.saturating_sub(have));
    if free < needed.saturating_add(ROOM) {
        // What is there of it would only keep the disk full.
        fs_err::remove_file(&part)?;
        return Err(Error::failed(format!(
            "{} MiB of content do not fit: {} has {} MiB left",
            needed >> 20,
            paths.content_dir(),
            free >> 20
        ))
        .hint("free some space on the node, then run the same command again"));
    }
    let bringing = || format!("bringing {} MiB of content to {}", content.size >> 20, paths.content_dir());
    source(&content.hash, have, &mut file).with_context(bringing)?;
    file.rewind()?;
    let came = files::copy(&mut file, &mut std::io::sink())?;
    if came != content.hash {
        fs_err::remove_file(&part)?;
        return Err(Error::failed(format!("other content came than was asked for: {came}"))
            .context(bringing())
            .hint("run the same command again; if it stays so, the controller's copy is damaged: `stead restore`"));
    }
    file.sync_all()?;
    fs_err::rename(&part, &place)?;
    Ok(())
}

/// How much room there is for content, in bytes.
fn free(paths: &Paths) -> Result<u64> {
    let found = rustix::fs::statvfs(paths.content_dir().as_str()).map_err(std::io::Error::from)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Opens content that was brought here.
///
/// # Errors
/// Fails where it was not.
pub(crate) fn open(paths: &Paths, content: &Apart) -> Result<impl Read + use<>> {
    Ok(fs_err::File::open(place(paths, content))?)
}

/// Forgets all content.
///
/// # Errors
/// Fails where it will not go.
pub(crate) fn forget(paths: &Paths) -> Result<()> {
    match fs_err::remove_dir_all(paths.content_dir()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::node::tasks::testing::Bench;

    #[test]
    fn a_transfer_that_was_cut_is_gone_on_with_and_what_is_wrong_is_thrown_away() {
        let bench = Bench::new();
        let paths = &bench.machine.paths;
        let bytes = vec![7; 100_000];
        let content = Apart { hash: hex::encode(Sha256::digest(&bytes)), size: bytes.len() as u64, shared: false };
        let mut asked = Vec::new();
        let mut send = |until: usize, bytes: &[u8]| {
            bring(paths, &content, &mut |_, from, to| {
                asked.push(from);
                to.write_all(&bytes[usize::try_from(from).unwrap()..until])?;
                if until < bytes.len() { Err(Error::failed("cut")) } else { Ok(()) }
            })
        };
        assert!(send(60_000, &bytes).is_err());
        send(100_000, &bytes).unwrap();
        send(100_000, &bytes).unwrap();
        assert_eq!(asked, [0, 60_000], "what is here is not asked for");
        forget(paths).unwrap();
        assert!(bring(paths, &content, &mut |_, _, to| Ok(to.write_all(&[8; 100_000])?)).is_err());
        assert_eq!(std::fs::read_dir(paths.content_dir()).unwrap().count(), 0);
        forget(paths).unwrap();
    }
}
