//! Reading.

use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction};

use super::database;
use crate::Result;

/// One consistent state of the store. Also what a [`super::Tx`] reads with, including what it has itself written.
pub struct Reader(Source);

enum Source {
    Snapshot(Transaction<'static, Sqlite>),
    Writer(Box<SqliteConnection>),
}

impl Reader {
    pub(super) async fn begin(pool: &SqlitePool) -> Result<Self> {
        let transaction = pool.begin().await.map_err(|error| database("reading the store", error))?;
        Ok(Self(Source::Snapshot(transaction)))
    }

    pub(super) fn of_writer(connection: SqliteConnection) -> Self {
        Self(Source::Writer(Box::new(connection)))
    }

    /// The connection, for the statements in `store/sqlite`.
    pub(super) fn sqlite(&mut self) -> &mut SqliteConnection {
        match &mut self.0 {
            Source::Snapshot(transaction) => transaction,
            Source::Writer(connection) => connection,
        }
    }

    pub(super) async fn close(self) {
        if let Source::Writer(connection) = self.0
            && let Err(error) = sqlx::Connection::close(*connection).await
        {
            // Everything acknowledged is on disk already; only the tidying of the WAL is put off.
            tracing::warn!(%error, "closing the store");
        }
    }
}
