//! Backup into one file, and restore from it.
//!
//! The file is a zstd-compressed tar archive: `manifest.json`, `store.db`, `blobs/…`. The manifest names every other
//! entry with its SHA-256. The fleet's keys are not in it: whoever holds a backup must not thereby hold the nodes.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::private::private_dir;
use super::sqlite::FILE;
use super::{BlobKey, Store};
use crate::clock::{Clock, Timestamp};
use crate::error::Context;
use crate::hashing::Hashing;
use crate::id::FleetId;
use crate::{Error, Result};

const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
/// Nodes refuse a lower fence than they have seen, and may have seen higher ones than a backup knows of.
const FENCES_SINCE_BACKUP: u32 = 1 << 20;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the archive's form.
    pub format: u32,
    /// The version of the program that made it.
    pub version: String,
    /// The fleet that it was made of.
    pub fleet: Option<FleetId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Every entry's SHA-256, in hexadecimal, by its path.
    pub entries: BTreeMap<String, String>,
}

impl Store {
    /// Writes records and blobs into one new file (mode 0600), while others go on reading and writing. The file is whole
    /// or not there.
    ///
    /// # Errors
    /// Fails where the file exists, or its folder cannot be written.
    pub async fn backup(&self, file: &Utf8Path) -> Result<Manifest> {
        if file.exists() {
            return Err(
                Error::input(format!("{file} exists")).hint("choose another name; a backup is never overwritten")
            );
        }
        // Within .stead, where nobody else may read it.
        let aside = tempfile::Builder::new().prefix("backup.").tempdir_in(self.dir()).context("making a backup")?;
        let aside_dir = Utf8PathBuf::try_from(aside.path().to_owned())
            .map_err(|error| Error::failed("making a backup").because(error))?;
        let copy = aside_dir.join(FILE);
        // The blobs that the copy names were written before it; those written since do no harm.
        self.copy(&copy).await?;
        let blobs = self.blobs().list().await?;
        for key in &blobs {
            self.blobs().local(key).await?;
        }
        let (fleet, created_at) = (self.read().await?.fleet().await?, self.clock().now());
        let (blob_dir, file) = (self.dir().join("blobs"), file.to_owned());
        blocking(move || {
            let _aside = aside;
            let mut entries = vec![(FILE.to_owned(), copy)];
            entries.extend(blobs.iter().map(|key| (blob_entry(key), blob_dir.join(blob_path(key)))));
            let mut sums = BTreeMap::new();
            for (name, path) in &entries {
                sums.insert(name.clone(), sum(std::fs::File::open(path).with_context(|| format!("reading {path}"))?)?);
            }
            let manifest =
                Manifest { format: FORMAT, version: crate::VERSION.into(), fleet, created_at, entries: sums };
            write(&file, &manifest, &entries).with_context(|| format!("writing the backup {file}"))?;
            Ok(manifest)
        })
        .await
    }
}

/// Puts a backup's records and blobs into a prepared PostgreSQL database that holds no fleet yet. Every
/// entry is checked before anything is put in place.
///
/// # Errors
/// Fails where the database holds a fleet, and where the file is not a whole backup.
pub async fn restore_into(store: &Store, file: &Utf8Path, clock: Arc<dyn Clock>) -> Result<Manifest> {
    let aside = tempfile::Builder::new().prefix("restore.").tempdir_in(store.dir()).context("restoring")?;
    let dir = Utf8Path::from_path(aside.path()).ok_or_else(|| Error::failed("the folder's path is not UTF-8"))?;
    let embedded = dir.join("store");
    let manifest = restore(file, &embedded, clock.clone()).await?;
    let from = Store::open(&embedded, clock).await?;
    store.carry_over(&from).await?;
    from.close().await;
    Ok(manifest)
}

/// Puts a backup's records and blobs into the `.stead` folder `dir`, which must not hold a store yet. Every entry is
/// checked before anything is put in place.
///
/// # Errors
/// Fails where `dir` holds a store, and where the file is not a whole backup; then `dir` holds what it held before.
pub async fn restore(file: &Utf8Path, dir: &Utf8Path, clock: Arc<dyn Clock>) -> Result<Manifest> {
    for taken in [dir.join(FILE), dir.join("blobs")] {
        if taken.exists() {
            return Err(Error::input(format!("{taken} exists already"))
                .hint("restore into another folder, or move the store that is there away first"));
        }
    }
    private_dir(dir)?;
    let aside = tempfile::Builder::new().prefix("restore.").tempdir_in(dir).context("restoring")?;
    let aside_dir =
        Utf8PathBuf::try_from(aside.path().to_owned()).map_err(|error| Error::failed("restoring").because(error))?;
    let (from, to) = (file.to_owned(), aside_dir.clone());
    let manifest = blocking(move || unpack(&from, &to)).await.with_context(|| format!("restoring from {file}"))?;
    let store = Store::open(&aside_dir, clock).await.with_context(|| format!("restoring from {file}"))?;
    let ready = store.write(|tx| {
        Box::pin(async move {
            tx.raise_fence(FENCES_SINCE_BACKUP).await?;
            // Whoever held one works on the store that the backup was made of, if at all.
            tx.release_leases().await
        })
    });
    ready.await?;
    store.close().await;
    // The records last: a store whose blobs are missing must not come to be.
    for name in ["blobs", FILE] {
        std::fs::rename(aside_dir.join(name), dir.join(name)).with_context(|| format!("putting {name} in place"))?;
    }
    std::fs::File::open(dir)?.sync_all()?;
    Ok(manifest)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::failed("a background task").because(error))?
}

fn blob_path(key: &BlobKey) -> String {
    format!("{}/{key}", &key.as_str()[..2])
}

fn blob_entry(key: &BlobKey) -> String {
    format!("blobs/{}", blob_path(key))
}

fn sum(mut reader: impl Read) -> Result<String> {
    let mut hasher = Sha256::new();
    std::io::copy(&mut reader, &mut hasher)?;
    Ok(hex::encode(hasher.finalize()))
}

fn write(file: &Utf8Path, manifest: &Manifest, entries: &[(String, Utf8PathBuf)]) -> Result<()> {
    let folder = match file.parent() {
        Some(parent) if !parent.as_str().is_empty() => parent,
        _ => Utf8Path::new("."),
    };
    // Made with mode 0600.
    let aside = tempfile::NamedTempFile::new_in(folder)?;
    let mut compressor = zstd::Encoder::new(aside.as_file(), 3)?;
    compressor.include_checksum(true)?;
    let mut archive = tar::Builder::new(compressor);
    archive.mode(tar::HeaderMode::Deterministic);
    let text = serde_json::to_vec_pretty(manifest).map_err(|error| Error::failed("the manifest").because(error))?;
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o600);
    archive.append_data(&mut header, MANIFEST, &text[..])?;
    for (name, path) in entries {
        archive.append_file(name, &mut std::fs::File::open(path)?)?;
    }
    archive.into_inner()?.finish()?;
    aside.as_file().sync_all()?;
    aside.persist_noclobber(file).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}

fn unpack(file: &Utf8Path, dir: &Utf8Path) -> Result<Manifest> {
    let damaged = |what: String| Error::failed(what).hint("the file is not a whole backup: take another one");
    let unreadable =
        |error: std::io::Error| damaged(format!("this is not a backup of Stead's, or it is damaged: {error}"));
    let reader = zstd::Decoder::new(std::fs::File::open(file)?)?;
    let mut archive = tar::Archive::new(reader);
    let mut entries = archive.entries()?;
    let mut first = entries.next().ok_or_else(|| damaged("the file is empty".into()))?.map_err(unreadable)?;
    let mut text = String::new();
    first.read_to_string(&mut text).map_err(unreadable)?;
    let manifest: Manifest = serde_json::from_str(&text)
        .map_err(|error| damaged("it does not begin with a backup's manifest".into()).because(error))?;
    if manifest.format != FORMAT {
        return Err(Error::failed(format!("a backup of format {}; this program knows {FORMAT}", manifest.format))
            .hint("restore it with the version of stead that made it"));
    }
    let mut missing = manifest.entries.clone();
    for entry in entries {
        let mut entry = entry.map_err(unreadable)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let expected = missing.remove(&name).ok_or_else(|| damaged(format!("the unexpected entry {name}")))?;
        let path = dir.join(place(&name).ok_or_else(|| damaged(format!("the unexpected entry {name}")))?);
        if let Some(parent) = path.parent() {
            private_dir(parent)?;
        }
        let out = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let mut both = Hashing::new(out);
        std::io::copy(&mut entry, &mut both).map_err(unreadable)?;
        let (out, hash) = both.finish();
        out.sync_all()?;
        if hash != expected {
            return Err(damaged(format!("{name} does not have the checksum that the manifest names")));
        }
    }
    // The archive ends before the compressed stream does: only its last bytes hold the checksum over the whole.
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink()).map_err(unreadable)?;
    match missing.keys().next() {
        Some(name) => Err(damaged(format!("the backup is cut short: {name} is missing"))),
        None => Ok(manifest),
    }
}

/// Where an entry goes; none for a name that no backup has, such as one that leads out of the folder.
fn place(name: &str) -> Option<Utf8PathBuf> {
    if name == FILE {
        return Some(FILE.into());
    }
    let key: BlobKey = name.rsplit('/').next()?.parse().ok()?;
    (blob_entry(&key) == name).then(|| name.into())
}
