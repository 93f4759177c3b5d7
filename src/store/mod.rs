//! What Stead remembers: records in a database, and blobs beside it.
//!
//! The facade's types ([`Store`], [`Reader`], [`Tx`], the records) say nothing of SQL; [`sqlite`] holds the statements,
//! one file per noun. A second native side (PostgreSQL) goes beside it, behind the same methods.
//!
//! Reading: `store.read().await?.node(id).await?`; one [`Reader`] sees one consistent state for as long as it lives.
//!
//! Writing: `store.write(|tx| Box::pin(async move { tx.insert_node(&node).await })).await?`. The closure runs in the one
//! writer task, inside a transaction that is on disk when `write` returns `Ok`, and is taken back whole when the closure
//! fails. Every act appends its audit entry in the same closure.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use futures::future::BoxFuture;

use crate::clock::Clock;
use crate::{Error, Result};

mod audit;
mod backup;
mod blobs;
mod image;
mod lock;
mod node;
mod private;
mod reader;
mod revision;
mod secret;
mod sqlite;
mod text;
mod workflow;
mod workspace;
mod writer;

pub use audit::{AuditHead, AuditPersonal, AuditRow};
pub use backup::{Manifest, restore};
pub use blobs::{BlobKey, Blobs};
pub use image::{Channel, Image};
pub use lock::{FleetLock, LockHolder};
pub use node::{Node, NodeState};
pub use reader::Reader;
pub use revision::Revision;
pub use secret::{EnvelopeRecord, SecretRecord, SecretState};
pub use sqlite::Listed;
pub use workflow::{StepRecord, StepState, WorkflowRecord, WorkflowState};
pub use workspace::{ManagedBy, Workspace, WorkspaceState};
pub use writer::Tx;

/// The records and blobs of one fleet. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    dir: Utf8PathBuf,
    clock: Arc<dyn Clock>,
    readers: sqlx::SqlitePool,
    writer: writer::Writer,
    blobs: Blobs,
}

impl Store {
    /// Opens the store in a fleet's `.stead` folder, and makes folder (0700) and store (0600) where they are missing.
    /// Brings an older store's schema up to date.
    ///
    /// Reading needs no [`FleetLock`]; whoever changes a fleet takes one first.
    ///
    /// # Errors
    /// Fails where the folder cannot be written, and where a newer program has written the store.
    pub async fn open(dir: &Utf8Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let (readers, connection) = sqlite::open(dir).await?;
        let writer = writer::Writer::start(connection, clock.clone());
        let blobs = Blobs::open(&dir.join("blobs"))?;
        Ok(Self(Arc::new(Inner { dir: dir.to_owned(), clock, readers, writer, blobs })))
    }

    /// The folder that the store lies in.
    pub fn dir(&self) -> &Utf8Path {
        &self.0.dir
    }

    /// The clock that dates the store's records.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// The blobs.
    pub fn blobs(&self) -> &Blobs {
        &self.0.blobs
    }

    /// Begins to read: one consistent state, without waiting for writers. There are few readers, so hold one for as long
    /// as a question takes, not longer.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn read(&self) -> Result<Reader> {
        Reader::begin(&self.0.readers).await
    }

    /// Runs `work` inside one transaction; what it wrote is on disk once this returns `Ok`, and none of it is there
    /// where it returns an error.
    ///
    /// All writers wait for `work`, so it awaits nothing but the [`Tx`].
    ///
    /// # Errors
    /// Fails as `work` does, and where the database cannot be written.
    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + 'static,
    {
        self.0.writer.write(work).await
    }

    /// Closes the store once its other clones are dropped, after the writes under way.
    pub async fn close(self) {
        if let Some(inner) = Arc::into_inner(self.0) {
            // The writer last: the last connection to close carries the WAL over into the database.
            inner.readers.close().await;
            inner.writer.stop().await;
        }
    }
}

/// A database error, with a way out where there is one.
fn database(doing: &str, error: sqlx::Error) -> Error {
    let code = match &error {
        sqlx::Error::Database(database) => database.code().and_then(|code| code.parse::<i32>().ok()),
        _ => None,
    };
    // The low byte is SQLite's primary result code (https://www.sqlite.org/rescode.html).
    let hint = match code.map(|code| code & 0xff) {
        Some(5 | 6) => Some("another program holds the store for long; try again when it is done"),
        Some(8) => Some("the store cannot be written: check the owner and mode of the .stead folder"),
        Some(11 | 26) => Some("the store's file is damaged: restore it from a backup with `stead restore`"),
        Some(13) => Some("the disk is full: free some space on that file system, then run the same command again"),
        _ => None,
    };
    let failed = Error::failed(doing).because(error);
    match hint {
        Some(hint) => failed.hint(hint),
        None => failed,
    }
}
