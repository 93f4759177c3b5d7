//! What Stead remembers: records in a database, and blobs beside it.
//!
//! Two databases behind one facade: SQLite in the fleet's folder, for one machine; PostgreSQL for many. The facade's types
//! ([`Store`], [`Reader`], [`Tx`], the records) say nothing of SQL; [`statements`] holds the statements, one file per noun,
//! and [`sqlite`] and [`postgres`] how either database is opened and written.
//!
//! Reading: `store.read().await?.node(id).await?`; one [`Reader`] sees one consistent state for as long as it lives.
//!
//! Writing: `store.write(|tx| Box::pin(async move { tx.insert_node(&node).await })).await?`. The closure runs inside a
//! transaction that is on disk when `write` returns `Ok`, and is taken back whole when the closure fails. Every act appends
//! its audit entry in the same closure.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use futures::future::BoxFuture;
pub use sqlx::postgres::PgConnectOptions;

use self::private::private_dir;
use self::source::{Pool, Source};
use self::together::Singly;
use self::work::Word;
use crate::Result;
use crate::clock::Clock;
use crate::error::Context;

mod agent;
mod agent_channel;
mod audit;
mod backup;
mod blobs;
mod failure;
mod idempotency;
mod image;
mod lock;
mod member;
mod node;
mod person;
mod postgres;
mod private;
mod reader;
mod revision;
mod secret;
mod source;
mod sqlite;
mod statements;
mod sweep;
mod text;
mod together;
mod token;
mod transfer;
mod tx;
mod work;
mod workflow;
mod workspace;

pub use agent::{Agent, Seen};
pub use agent_channel::AgentChannel;
pub use audit::{AuditHead, AuditPersonal, AuditPlace, AuditRow};
pub use backup::{Manifest, restore, restore_into};
pub use blobs::{BlobKey, Blobs};
use failure::{database, is_stale, is_unavailable};
pub use idempotency::Answer;
pub use image::{Channel, Image};
pub use lock::{FleetLock, LockHolder};
pub use member::{Invitation, InvitationState, Member, Membership, NamedMember};
pub use node::{Node, NodeRole, NodeState};
pub use person::{Login, Person, Session, SignIn};
pub use reader::Reader;
pub use revision::Revision;
pub use secret::{EnvelopeRecord, SecretRecord, SecretState};
pub use statements::{
    AgentChannelPage, AgentPage, LeaseCount, Listed, PersonPage, StateCount, Turn, WorkflowCount, WorkflowPage,
    WorkspacePage,
};
pub use sweep::SweepRecord;
pub use token::{Role, TokenRecord};
pub use tx::Tx;
pub use workflow::{Ability, Claimant, Placement, StepRecord, StepState, WorkerRecord, WorkflowRecord, WorkflowState};
pub use workspace::{BeforeSuspension, ManagedBy, Suspender, Suspension, Workspace, WorkspaceState};

/// The records and blobs of one fleet. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    place: String,
    dir: Utf8PathBuf,
    source: Source,
    singly: Singly,
    database: Database,
    blobs: Blobs,
    word: Word,
}

/// Who writes.
enum Database {
    Sqlite(sqlite::Writer),
    Postgres(sqlx::PgPool),
}

impl Store {
    /// Opens the embedded store in a fleet's `.stead` folder, and makes folder (0700) and store (0600) where they are
    /// missing. Brings an older store's schema up to date.
    ///
    /// Reading needs no [`FleetLock`]; whoever changes a fleet takes one first.
    ///
    /// # Errors
    /// Fails where the folder cannot be written, and where a newer program has written the store.
    pub async fn open(dir: &Utf8Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let (readers, connection) = sqlite::open(dir).await?;
        let writer = sqlite::Writer::start(connection, clock.clone());
        let blobs = Blobs::open(&dir.join("blobs"))?;
        let (place, dir) = (format!("in {dir}"), dir.to_owned());
        let source = Source { pool: Pool::Sqlite(readers), clock };
        Ok(Self(Arc::new(Inner {
            place,
            dir,
            singly: Singly::of(&source),
            source,
            database: Database::Sqlite(writer),
            blobs,
            word: Word::default(),
        })))
    }

    /// Opens the store in a PostgreSQL database, which [`Store::migrate`] has prepared. `dir` is a folder of this program's
    /// own on this machine, for blobs that were used here.
    ///
    /// # Errors
    /// Fails where the database cannot be reached, and where its schema is older than this program, or too new for it.
    pub async fn connect(options: PgConnectOptions, dir: &Utf8Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let place = postgres::place(&options);
        let pool = postgres::connect(options).await.with_context(|| format!("opening the store {place}"))?;
        postgres::check(&pool).await.with_context(|| format!("opening the store {place}"))?;
        private_dir(dir)?;
        let blobs = Blobs::shared(&dir.join("blobs"), pool.clone())?;
        let source = Source { pool: Pool::Postgres(pool.clone()), clock };
        Ok(Self(Arc::new(Inner {
            place,
            dir: dir.to_owned(),
            singly: Singly::of(&source),
            source,
            word: Word::of_postgres(pool.clone()),
            database: Database::Postgres(pool),
            blobs,
        })))
    }

    /// Brings a PostgreSQL database's schema up to date; how many steps were taken.
    ///
    /// # Errors
    /// Fails where the database cannot be reached or changed.
    pub async fn migrate(options: PgConnectOptions) -> Result<u64> {
        let pool = postgres::connect(options).await?;
        let steps = postgres::migrate(&pool).await;
        pool.close().await;
        steps
    }

    /// Where the store is, for messages: "in DIR", "in the database NAME at HOST".
    pub fn place(&self) -> &str {
        &self.0.place
    }

    /// The folder that the embedded store lies in; with PostgreSQL the folder of this program's own.
    pub fn dir(&self) -> &Utf8Path {
        &self.0.dir
    }

    /// Whether several programs may share the store's work: only then it is in PostgreSQL.
    pub fn is_shared(&self) -> bool {
        matches!(self.0.database, Database::Postgres(_))
    }

    /// The clock that dates the store's records.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.source.clock
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
        self.0.source.read().await
    }

    /// Runs `work` inside one transaction; what it wrote is on disk once this returns `Ok`, and none of it is there
    /// where it returns an error.
    ///
    /// Other writers wait for `work` (all of them in SQLite; in PostgreSQL those that want the same rows), so it awaits
    /// nothing but the [`Tx`].
    ///
    /// # Errors
    /// Fails as `work` does, and where the database cannot be written.
    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + 'static,
    {
        match &self.0.database {
            Database::Sqlite(writer) => writer.write(work).await,
            // For the same reason as in `Source`.
            Database::Postgres(pool) => Box::pin(postgres::write(pool, self.clock().clone(), work)).await,
        }
    }

    /// Closes the store once its other clones are dropped, after the writes under way.
    pub async fn close(self) {
        let Some(inner) = Arc::into_inner(self.0) else { return };
        drop((inner.word, inner.singly));
        match inner.source.pool {
            Pool::Sqlite(readers) => readers.close().await,
            Pool::Postgres(pool) => pool.close().await,
        }
        // The writer last: the last connection to close carries the WAL over into the database.
        if let Database::Sqlite(writer) = inner.database {
            writer.stop().await;
        }
    }
}
