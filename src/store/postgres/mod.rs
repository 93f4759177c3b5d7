//! The PostgreSQL side: how a database is reached, and how it is written.
//!
//! Any number of programs on any number of machines share one database. Transactions run side by side, at the level READ
//! COMMITTED: what a write decides by a row it has locked (`held!`), what it decides by a row's absence is guarded by a
//! unique index, and what is done under a lease checks the lease's fence in the statement itself.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, Executor, PgPool, Postgres, Transaction};

use super::{Reader, Tx, database};
use crate::clock::Clock;
use crate::{Error, Result};

mod pieces;
mod schema;

pub(super) use pieces::Pieces;
pub(super) use schema::{check, migrate};

/// How many connections one program has at most.
const CONNECTIONS: u32 = 16;
/// How long to wait for a connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the server is told of every session: a program that hangs must not hold others up for ever. Told once the session is
/// there, since poolers let nothing of it pass while it begins.
const SESSION: &str = "SET timezone = 'UTC'; SET lock_timeout = '10s'; SET statement_timeout = '60s'; \
                       SET idle_in_transaction_session_timeout = '60s'";

/// Where a database is, for messages: without the password.
pub(super) fn place(options: &PgConnectOptions) -> String {
    let name = options.get_database().unwrap_or_else(|| options.get_username());
    match options.get_socket() {
        Some(socket) => format!("in the database {name} at {}", socket.display()),
        None => format!("in the database {name} at {}:{}", options.get_host(), options.get_port()),
    }
}

/// Reaches a database.
pub(super) async fn connect(options: PgConnectOptions) -> Result<PgPool> {
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(PATIENCE)
        // A ping for each use would be a round trip more; `begin` tells a connection that died by its first answer.
        .test_before_acquire(false)
        .after_connect(|connection, _| Box::pin(async move { connection.execute(SESSION).await.map(drop) }))
        .connect_with(options.application_name("stead"))
        .await
        .map_err(|error| database("reaching the database", error))?;
    schema::check_server(&pool).await?;
    Ok(pool)
}

/// A connection that answers.
pub(super) async fn living(pool: &PgPool) -> sqlx::Result<PoolConnection<Postgres>> {
    let mut died = 0;
    loop {
        let mut connection = pool.acquire().await?;
        match connection.ping().await {
            Err(error) if died < CONNECTIONS && super::is_unavailable(&error) => {
                died += 1;
                connection.close_on_drop();
            }
            answered => return answered.map(|()| connection),
        }
    }
}

/// Begins a transaction. Connections that died while they lay idle, as all do when the server is started again, are
/// thrown away one after the other: nothing was done on them yet.
pub(super) async fn begin(pool: &PgPool, statement: &'static str) -> sqlx::Result<Transaction<'static, Postgres>> {
    let mut died = 0;
    loop {
        let connection = pool.acquire().await?;
        let begun = Transaction::begin(connection, Some(sqlx::SqlSafeStr::into_sql_str(statement))).await;
        match begun {
            Err(error) if died < CONNECTIONS && super::is_unavailable(&error) => died += 1,
            begun => return begun,
        }
    }
}

/// Runs `work` in one transaction.
pub(super) async fn write<T, F>(pool: &PgPool, clock: Arc<dyn Clock>, work: F) -> Result<T>
where
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>>,
{
    let mut tx = Tx::of(Reader::of_postgres_writer(pool, clock).await?);
    let result = tx.run(work).await;
    let reader = tx.into_reader();
    // The server answers the COMMIT of a transaction in which a statement failed with a silent ROLLBACK.
    let result = match result {
        Ok(_) if reader.has_failed() => Err(Error::failed("a write went on after one of its statements had failed")),
        other => other,
    };
    match result {
        Ok(value) => {
            reader.commit().await.map_err(|error| database("writing the store", error))?;
            Ok(value)
        }
        Err(error) => {
            if let Err(error) = reader.roll_back().await {
                tracing::debug!(%error, "the connection is lost, and with it the transaction");
            }
            Err(error)
        }
    }
}
