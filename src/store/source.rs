//! Where readers come from.

use std::sync::Arc;

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

impl Source {
    /// A reader that keeps its connection and has no transaction: each statement sees the state of its own moment.
    pub(super) async fn steady(&self) -> Result<Reader> {
        match &self.pool {
            Pool::Sqlite(pool) => Reader::steady_of_sqlite(pool, self.clock.clone()).await,
            Pool::Postgres(pool) => Reader::steady_of_postgres(pool, self.clock.clone()).await,
        }
    }

    pub(super) async fn read(&self) -> Result<Reader> {
        match &self.pool {
            Pool::Sqlite(pool) => Reader::of_sqlite(pool, self.clock.clone()).await,
            Pool::Postgres(pool) => Reader::of_postgres(pool, self.clock.clone()).await,
        }
    }
}
