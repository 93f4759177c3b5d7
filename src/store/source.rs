//! Where readers come from.

use std::sync::Arc;

use futures::future::BoxFuture;
use sqlx::{PgPool, SqlitePool};

use super::Reader;
use crate::Result;
use crate::clock::Clock;

/// A database to read, by the clock that dates its records. Cheap to clone.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) pool: Pool,
    pub(super) clock: Arc<dyn Clock>,
}

/// A database's connections.
#[derive(Clone)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

// Boxed, since acquiring a connection is a future of four kilobytes: it would be a part of every request's, which is allocated and
// moved once for each layer of the API, also where nothing is read in this way.
impl Source {
    /// A reader that keeps its connection and has no transaction: each statement sees the state of its own moment.
    pub(super) fn steady(&self) -> BoxFuture<'_, Result<Reader>> {
        match &self.pool {
            Pool::Sqlite(pool) => Box::pin(Reader::steady_of_sqlite(pool, self.clock.clone())),
            Pool::Postgres(pool) => Box::pin(Reader::steady_of_postgres(pool, self.clock.clone())),
        }
    }

    pub(super) fn read(&self) -> BoxFuture<'_, Result<Reader>> {
        match &self.pool {
            Pool::Sqlite(pool) => Box::pin(Reader::of_sqlite(pool, self.clock.clone())),
            Pool::Postgres(pool) => Box::pin(Reader::of_postgres(pool, self.clock.clone())),
        }
    }
}
