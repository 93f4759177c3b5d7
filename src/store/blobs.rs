//! Blobs: bytes that are named by their SHA-256, in a folder. Beside a shared database they lie in it, and the folder holds
//! those that were used on this machine.

use std::fmt;
use std::io::Read;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use futures::{Stream, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::postgres::Pieces;
use super::private::private_dir;
use super::text::text_column;
use crate::error::Context;
use crate::hashing::Hashing;
use crate::{Error, Result, ownership};

/// What the names of files begin with that are not whole yet.
const ASIDE: &str = ".aside.";
/// How many pieces that came wait to be written.
const WAITING: usize = 8;

/// A blob's name: the SHA-256 of its bytes, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BlobKey(String);

text_column!(BlobKey);

impl BlobKey {
    /// The name of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(bytes)))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Blobs lie in folders by their first two digits, so that no folder grows too long.
    fn path(&self) -> Path {
        Path::from(format!("{}/{}", &self.0[..2], self.0))
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BlobKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for BlobKey {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let legal = text.len() == 64 && text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
        if legal { Ok(Self(text)) } else { Err(Error::input(format!("{text:?} is not a blob's key"))) }
    }
}

impl From<BlobKey> for String {
    fn from(key: BlobKey) -> Self {
        key.0
    }
}

/// The blobs of one fleet. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Blobs {
    dir: Utf8PathBuf,
    store: Arc<LocalFileSystem>,
    /// Where all of them are, if the folder is only this machine's part.
    shared: Option<Pieces>,
}

/// Reads, on a thread of its own, what comes piece after piece.
struct Incoming {
    pieces: mpsc::Receiver<Bytes>,
    rest: Bytes,
}

impl Read for Incoming {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        while self.rest.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.rest = piece,
                None => return Ok(0),
            }
        }
        let length = self.rest.len().min(into.len());
        into[..length].copy_from_slice(&self.rest.split_to(length));
        Ok(length)
    }
}

impl Blobs {
    pub(super) fn open(dir: &Utf8Path) -> Result<Self> {
        private_dir(dir)?;
        let store = LocalFileSystem::new_with_prefix(dir).map_err(|error| failed(&format!("opening {dir}"), error))?;
        Ok(Self { dir: dir.to_owned(), store: Arc::new(store), shared: None })
    }

    /// Those of a database, with `dir` for those that are used on this machine.
    pub(super) fn shared(dir: &Utf8Path, pool: sqlx::PgPool) -> Result<Self> {
        Ok(Self { shared: Some(Pieces::of(pool)), ..Self::open(dir)? })
    }

    /// Keeps bytes; they are on disk when this returns. Keeping them twice is keeping them once.
    ///
    /// # Errors
    /// Fails where the folder cannot be written.
    pub async fn put(&self, bytes: impl Into<Bytes>) -> Result<BlobKey> {
        let bytes = bytes.into();
        let key = BlobKey::of(&bytes);
        if !self.exists(&key).await? {
            self.keep(&key, std::io::Cursor::new(bytes), "the bytes".to_owned()).await?;
            self.share(&key).await?;
        }
        Ok(key)
    }

    /// Keeps a file's bytes, a piece of them at a time in memory; they are on disk when this returns. The file must hold what
    /// the key names.
    ///
    /// # Errors
    /// Fails where the file cannot be read or holds something else, and where the folder cannot be written.
    pub async fn put_file(&self, key: &BlobKey, file: &Utf8Path) -> Result<()> {
        if self.exists(key).await? {
            return Ok(());
        }
        let from = std::fs::File::open(file).with_context(|| format!("reading {file}"))?;
        self.keep(key, from, file.to_string()).await?;
        self.share(key).await
    }

    /// Keeps what comes piece after piece, where it is what the key names; they are on disk when this returns.
    ///
    /// # Errors
    /// Fails where it is something else, and where the folder cannot be written; with the stream's own error where that ends in one.
    pub async fn put_stream(&self, key: &BlobKey, stream: impl Stream<Item = Result<Bytes>>) -> Result<()> {
        if self.exists(key).await? {
            // Whoever sends them hears the answer only then.
            return stream.try_for_each(async |_| Ok(())).await;
        }
        let (pieces, incoming) = mpsc::channel(WAITING);
        let keeping = self.keep(key, Incoming { pieces: incoming, rest: Bytes::new() }, "what came".to_owned());
        let bringing = async move {
            let (mut stream, mut hasher) = (std::pin::pin!(stream), Sha256::new());
            while let Some(piece) = stream.try_next().await? {
                hasher.update(&piece);
                // Whoever keeps it has given up, and says why.
                if pieces.send(piece).await.is_err() {
                    break;
                }
            }
            Ok(Self::named(hasher))
        };
        let (kept, brought): (_, Result<BlobKey>) = tokio::join!(keeping, bringing);
        match (kept, brought?) {
            (Err(_), brought) if brought != *key => {
                Err(Error::input(format!("the bytes that were sent are not those of {key}"))
                    .hint("its name is their SHA-256"))
            }
            (kept, _) => kept,
        }?;
        self.share(key).await
    }

    fn named(hasher: Sha256) -> BlobKey {
        BlobKey(hex::encode(hasher.finalize()))
    }

    /// Puts a blob of the folder's into the database, where there is one.
    async fn share(&self, key: &BlobKey) -> Result<()> {
        match &self.shared {
            Some(pieces) => pieces.put(key, std::fs::File::open(self.file(key))?).await,
            None => Ok(()),
        }
    }

    /// Brings a blob to this machine, where it is not here yet.
    async fn fetch(&self, key: &BlobKey) -> Result<()> {
        let Some(pieces) = &self.shared else { return Ok(()) };
        if self.is_here(key).await? {
            return Ok(());
        }
        let mut aside = tempfile::Builder::new().prefix(ASIDE).tempfile_in(&self.dir).context("fetching a blob")?;
        pieces.get(key, &mut aside).await?;
        let from = aside.reopen()?;
        self.keep(key, from, format!("the blob {key} of the database")).await
    }

    /// Writes aside, syncs, and only then gives the blob its name: one that is there is whole, whatever the power did.
    /// `object_store` renames before anything is synced.
    async fn keep(&self, key: &BlobKey, from: impl Read + Send + 'static, name: String) -> Result<()> {
        let (dir, place, key) = (self.dir.clone(), self.file(key), key.clone());
        let kept = tokio::task::spawn_blocking(move || {
            let context = || format!("keeping {name} in {dir}");
            let mut aside = tempfile::Builder::new().prefix(ASIDE).tempfile_in(&dir).with_context(context)?;
            let mut both = Hashing::new(aside.as_file_mut());
            std::io::copy(&mut { from }, &mut both).with_context(context)?;
            if both.finish().1 != key.0 {
                return Err(
                    Error::failed(format!("{name} was changed while it was read")).hint("run the same command again")
                );
            }
            aside.as_file().sync_all().with_context(context)?;
            let folder = place.parent().unwrap_or(&dir);
            std::fs::create_dir_all(folder).with_context(context)?;
            ownership::inherit(folder)?;
            aside.persist(&place).map_err(|error| error.error).with_context(context)?;
            ownership::inherit(&place)?;
            [folder, dir.as_path()]
                .iter()
                .try_for_each(|folder| std::fs::File::open(folder)?.sync_all())
                .with_context(context)
        });
        kept.await.map_err(|error| Error::failed("writing a blob").because(error))?
    }

    /// Removes what keepers that were killed have left aside, where it was not written to for so long: for whoever has the fleet
    /// to themselves, no time at all.
    ///
    /// # Errors
    /// Fails where the folder cannot be written.
    pub fn sweep(&self, unused: Duration) -> Result<()> {
        for entry in fs_err::read_dir(&self.dir)? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().starts_with(ASIDE) {
                continue;
            }
            // Another may have removed it, or given it its name.
            let Ok(written) = entry.metadata().and_then(|found| found.modified()) else { continue };
            if written.elapsed().unwrap_or_default() >= unused {
                fs_err::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Where a blob lies, or will, on this machine; [`Blobs::local`] sees to it that it does.
    pub fn file(&self, key: &BlobKey) -> Utf8PathBuf {
        self.dir.join(key.path().as_ref())
    }

    /// Where a blob lies on this machine. Whoever reads it is to check it against its name.
    ///
    /// # Errors
    /// Fails where it has to be brought from a shared database, and that fails.
    pub async fn local(&self, key: &BlobKey) -> Result<Utf8PathBuf> {
        self.fetch(key).await?;
        Ok(self.file(key))
    }

    /// A blob's bytes, checked against its name.
    ///
    /// # Errors
    /// Fails where there is no such blob, and where its bytes are no longer what was kept.
    pub async fn get(&self, key: &BlobKey) -> Result<Bytes> {
        self.fetch(key).await?;
        let reading = |error| failed(&format!("reading the blob {key}"), error);
        let bytes = self.store.get(&key.path()).await.map_err(reading)?.bytes().await.map_err(reading)?;
        if BlobKey::of(&bytes) != *key {
            return Err(Error::failed(format!("the blob {key} is damaged"))
                .hint("restore it from a backup with `stead restore`"));
        }
        Ok(bytes)
    }

    /// Whether a blob is kept.
    ///
    /// # Errors
    /// Fails where the folder cannot be read.
    pub async fn exists(&self, key: &BlobKey) -> Result<bool> {
        match &self.shared {
            Some(pieces) => pieces.exists(key).await,
            None => self.is_here(key).await,
        }
    }

    async fn is_here(&self, key: &BlobKey) -> Result<bool> {
        match self.store.head(&key.path()).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(failed(&format!("looking for the blob {key}"), error)),
        }
    }

    /// Deletes a blob; one that is not there is deleted already.
    ///
    /// # Errors
    /// Fails where the folder cannot be written.
    pub async fn delete(&self, key: &BlobKey) -> Result<()> {
        if let Some(pieces) = &self.shared {
            pieces.delete(key).await?;
        }
        match self.store.delete(&key.path()).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(&format!("deleting the blob {key}"), error)),
        }
    }

    /// The keys of all blobs, in order.
    ///
    /// # Errors
    /// Fails where the folder cannot be read.
    pub async fn list(&self) -> Result<Vec<BlobKey>> {
        if let Some(pieces) = &self.shared {
            return pieces.list().await;
        }
        let found: Vec<_> =
            self.store.list(None).try_collect().await.map_err(|error| failed("listing the blobs", error))?;
        let mut keys: Vec<BlobKey> = found.iter().filter_map(|meta| meta.location.filename()?.parse().ok()).collect();
        keys.sort();
        Ok(keys)
    }
}

fn failed(doing: &str, error: object_store::Error) -> Error {
    match &error {
        object_store::Error::NotFound { .. } => Error::failed(format!("{doing}: it is not there")),
        other => {
            // The operating system's own error says more, and brings its hint.
            let mut cause = std::error::Error::source(other);
            while let Some(error) = cause {
                if let Some(io) = error.downcast_ref::<std::io::Error>() {
                    return Error::from(std::io::Error::new(io.kind(), io.to_string())).context(doing);
                }
                cause = error.source();
            }
            Error::failed(doing).because(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn blobs_are_named_by_content_and_checked() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(Utf8Path::from_path(dir.path()).unwrap()).unwrap();
        let key = blobs.put("hello").await.unwrap();
        assert_eq!(blobs.put("hello").await.unwrap(), key);
        assert_eq!(blobs.get(&key).await.unwrap(), "hello");
        assert_eq!(blobs.list().await.unwrap(), std::slice::from_ref(&key));

        std::fs::write(dir.path().join(key.path().as_ref()), "hellO").unwrap();
        assert!(blobs.get(&key).await.unwrap_err().to_string().contains("damaged"));
        blobs.delete(&key).await.unwrap();
        blobs.delete(&key).await.unwrap();
        assert!(!blobs.exists(&key).await.unwrap());
        assert!(blobs.get(&key).await.unwrap_err().to_string().contains("not there"));

        let file = Utf8PathBuf::from_path_buf(dir.path().join("file")).unwrap();
        let content = vec![7; (3 << 20) + 5];
        std::fs::write(&file, &content).unwrap();
        let key = BlobKey::of(&content);
        blobs.put_file(&key, &file).await.unwrap();
        blobs.put_file(&key, &file).await.unwrap();
        assert_eq!(blobs.get(&key).await.unwrap(), content);
        let other = BlobKey::of(b"other");
        assert!(blobs.put_file(&other, &file).await.unwrap_err().to_string().contains("changed while"));
        assert!(!blobs.exists(&other).await.unwrap());
        let pieces = |parts: &[&'static str]| {
            futures::stream::iter(parts.iter().map(|part| Ok(Bytes::from_static(part.as_bytes()))).collect::<Vec<_>>())
        };
        let streamed = BlobKey::of(b"in pieces");
        blobs.put_stream(&streamed, pieces(&["in ", "", "pieces"])).await.unwrap();
        assert_eq!(blobs.get(&streamed).await.unwrap(), "in pieces");
        let refused = blobs.put_stream(&other, pieces(&["another"])).await.unwrap_err();
        assert_eq!(refused.kind(), crate::Kind::Input, "{refused}");
        let broken = futures::stream::iter([Ok(Bytes::from_static(b"oth")), Err(Error::failed("cut"))]);
        assert_eq!(blobs.put_stream(&other, broken).await.unwrap_err().to_string(), "cut");
        assert!(!blobs.exists(&other).await.unwrap());
        blobs.delete(&streamed).await.unwrap();
        let left = dir.path().join(".aside.killed");
        std::fs::write(&left, "half").unwrap();
        assert_eq!(blobs.list().await.unwrap(), [key]);
        blobs.sweep(Duration::from_secs(60)).unwrap();
        assert!(left.exists(), "it may be on its way");
        blobs.sweep(Duration::ZERO).unwrap();
        assert!(!left.exists());
        assert!("../../etc/passwd".parse::<BlobKey>().is_err());
    }
}
