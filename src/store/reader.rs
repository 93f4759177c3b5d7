//! Reading.

use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool, Transaction};

use super::{database, is_stale, postgres};
use crate::Result;
use crate::clock::{Clock, Timestamp};

/// One consistent state of the store. Also what a [`super::Tx`] reads with, including what it has itself written.
pub struct Reader {
    source: Source,
    clock: Arc<dyn Clock>,
    failed: bool,
}

enum Source {
    Sqlite(Transaction<'static, Sqlite>),
    SqliteSteady(PoolConnection<Sqlite>),
    SqliteWriter(Box<SqliteConnection>),
    Postgres(Transaction<'static, Postgres>),
    PostgresSteady(PoolConnection<Postgres>),
    PostgresWriter(Transaction<'static, Postgres>),
}

/// The connection that a statement runs on.
pub(super) enum Connection<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

impl Reader {
    pub(super) async fn of_sqlite(pool: &SqlitePool, clock: Arc<dyn Clock>) -> Result<Self> {
        let transaction = pool.begin().await.map_err(|error| database("reading the store", error))?;
        Ok(Self { source: Source::Sqlite(transaction), clock, failed: false })
    }

    pub(super) async fn steady_of_sqlite(pool: &SqlitePool, clock: Arc<dyn Clock>) -> Result<Self> {
        let connection = pool.acquire().await.map_err(|error| database("reading the store", error))?;
        Ok(Self { source: Source::SqliteSteady(connection), clock, failed: false })
    }

    pub(super) async fn steady_of_postgres(pool: &PgPool, clock: Arc<dyn Clock>) -> Result<Self> {
        let connection = postgres::living(pool).await.map_err(|error| database("reading the store", error))?;
        Ok(Self { source: Source::PostgresSteady(connection), clock, failed: false })
    }

    pub(super) fn of_sqlite_writer(connection: SqliteConnection, clock: Arc<dyn Clock>) -> Self {
        Self { source: Source::SqliteWriter(Box::new(connection)), clock, failed: false }
    }

    pub(super) async fn of_postgres(pool: &PgPool, clock: Arc<dyn Clock>) -> Result<Self> {
        let begun = postgres::begin(pool, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await;
        let transaction = begun.map_err(|error| database("reading the store", error))?;
        Ok(Self { source: Source::Postgres(transaction), clock, failed: false })
    }

    pub(super) async fn of_postgres_writer(pool: &PgPool, clock: Arc<dyn Clock>) -> Result<Self> {
        let begun = postgres::begin(pool, "BEGIN").await;
        let transaction = begun.map_err(|error| database("writing the store", error))?;
        Ok(Self { source: Source::PostgresWriter(transaction), clock, failed: false })
    }

    /// The present moment, by this program's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The present moment, by the clock that leases are measured with: the database's, since those who share one have no
    /// other clock in common. With SQLite it is this program's.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn shared_now(&mut self) -> Result<Timestamp> {
        let own = self.clock.now();
        match self.connection() {
            Connection::Sqlite(_) => Ok(own),
            Connection::Postgres(connection) => {
                let now = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(connection).await;
                now.map_err(|error| database("asking the database for the time", error))
            }
        }
    }

    /// The connection, for the statements.
    pub(super) fn connection(&mut self) -> Connection<'_> {
        match &mut self.source {
            Source::Sqlite(transaction) => Connection::Sqlite(transaction),
            Source::SqliteSteady(connection) => Connection::Sqlite(connection),
            Source::SqliteWriter(connection) => Connection::Sqlite(connection),
            Source::PostgresSteady(connection) => Connection::Postgres(connection),
            Source::Postgres(transaction) | Source::PostgresWriter(transaction) => Connection::Postgres(transaction),
        }
    }

    /// Whether the store is in PostgreSQL.
    pub(super) fn is_postgres(&self) -> bool {
        matches!(self.source, Source::Postgres(_) | Source::PostgresSteady(_) | Source::PostgresWriter(_))
    }

    /// Whether rows that are read to be written are locked, since others write at the same time.
    pub(super) fn holds_rows(&self) -> bool {
        matches!(self.source, Source::PostgresWriter(_))
    }

    /// Remembers that a statement failed. Statements that were prepared before the schema's last step are prepared anew on
    /// this connection: `stead migrate` runs while others work.
    pub(super) async fn note_failure(&mut self, error: &sqlx::Error) {
        self.failed = true;
        if is_stale(error)
            && let Connection::Postgres(connection) = self.connection()
            && let Err(error) = sqlx::Connection::clear_cached_statements(connection).await
        {
            tracing::debug!(%error, "forgetting prepared statements");
        }
    }

    /// Whether a statement failed, even if nobody cared.
    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Throws a connection of one's own away, instead of giving it back for others to use.
    pub(super) fn give_up(self) {
        match self.source {
            Source::SqliteSteady(mut connection) => connection.close_on_drop(),
            Source::PostgresSteady(mut connection) => connection.close_on_drop(),
            _ => {}
        }
    }

    /// Commits what was written, where this is a writer's transaction in PostgreSQL.
    pub(super) async fn commit(self) -> sqlx::Result<()> {
        match self.source {
            Source::PostgresWriter(transaction) => transaction.commit().await,
            _ => Ok(()),
        }
    }

    /// Takes back what was written, where this is a writer's transaction in PostgreSQL.
    pub(super) async fn roll_back(self) -> sqlx::Result<()> {
        match self.source {
            Source::PostgresWriter(transaction) => transaction.rollback().await,
            _ => Ok(()),
        }
    }

    pub(super) async fn close(self) {
        if let Source::SqliteWriter(connection) = self.source
            && let Err(error) = sqlx::Connection::close(*connection).await
        {
            // Everything acknowledged is on disk already; only the tidying of the WAL is put off.
            tracing::warn!(%error, "closing the store");
        }
    }
}
