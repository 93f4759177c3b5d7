//! The SQLite side: how the file is opened, and who writes to it.

use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use camino::Utf8Path;
use rustix::fs::FlockOperation;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection, SqlitePool};

use super::database;
use super::private::private_dir;
use crate::error::Context;
use crate::{Error, Result, ownership};

mod writer;

pub(super) use writer::Writer;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");

/// The database's file in the `.stead` folder.
pub(super) const FILE: &str = "store.db";
const READERS: u32 = 4;
/// How long to wait for another process's transaction. They are short; a `VACUUM INTO` does not block writers.
const BUSY: Duration = Duration::from_secs(10);

/// Opens the database: a pool of readers, and the writer's connection.
pub(super) async fn open(dir: &Utf8Path) -> Result<(SqlitePool, SqliteConnection)> {
    private_dir(dir)?;
    let path = dir.join(FILE);
    // SQLite gives its side files (-wal, -shm) the mode of the database itself, and, as root, its owner.
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("opening {path}"))?;
    for file in [path.clone(), dir.join(format!("{FILE}-wal")), dir.join(format!("{FILE}-shm"))] {
        ownership::inherit(&file)?;
    }
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY);
    let opening = |error| database("opening the store", error).context(format!("opening {path}"));
    let _guard = lock_opening(dir).await?;
    let mut writer = options.clone().connect().await.map_err(opening)?;
    migrate(&mut writer).await.with_context(|| format!("opening {path}"))?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        // A file does not go away; asking would be a way to another thread for each use.
        .test_before_acquire(false)
        // Rows wait between SQLite's thread and whoever reads them: the fewer the turns, the less is spent on taking them.
        .connect_with(options.pragma("query_only", "on").row_buffer_size(500))
        .await
        .map_err(opening)?;
    Ok((readers, writer))
}

/// Has those who open a store do so one after the other: of two who turn a new one to the write-ahead log SQLite refuses
/// one without waiting, and sqlx has no lock of its own for SQLite's migrations.
async fn lock_opening(dir: &Utf8Path) -> Result<std::fs::File> {
    let guard = std::fs::File::open(dir).with_context(|| format!("opening {dir}"))?;
    let locked = tokio::task::spawn_blocking(move || {
        rustix::fs::flock(&guard, FlockOperation::LockExclusive).map(|()| guard).map_err(std::io::Error::from)
    });
    Ok(locked.await.map_err(|error| Error::failed("locking the store").because(error))??)
}

async fn migrate(connection: &mut SqliteConnection) -> Result<()> {
    MIGRATIONS.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => {
            let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default();
            Error::failed(format!(
                "a newer stead has written this store (schema {version}; this program knows {known})"
            ))
            .hint("use the newer stead for this fleet, or restore a backup made by this one into another folder")
        }
        MigrateError::VersionMismatch(version) => {
            Error::failed(format!("schema {version} of this store is not the one that was released"))
                .hint("an unreleased stead has written this store; restore it from a backup")
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            database("bringing the store's schema up to date", error)
        }
        other => Error::failed("bringing the store's schema up to date").because(other),
    })
}

/// A new database in a file of its own, with the schema and nothing else.
pub(super) async fn blank(file: &Utf8Path) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true).foreign_keys(true);
    let mut connection = options.connect().await.map_err(|error| database("making a copy of the records", error))?;
    migrate(&mut connection).await?;
    Ok(connection)
}

/// A connection that reads.
pub(super) async fn reader(dir: &Utf8Path) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(dir.join(FILE)).busy_timeout(BUSY);
    options.connect().await.map_err(|error| database("reading the store", error))
}

/// Copies the database, as it is at one moment, into a new file.
pub(super) async fn copy(dir: &Utf8Path, to: &Utf8Path) -> Result<()> {
    let copying = |error| database("copying the records", error);
    // Not one of the pool's: those may write nowhere, another file included.
    let mut connection = reader(dir).await?;
    sqlx::query("VACUUM INTO ?").bind(to.as_str()).execute(&mut connection).await.map_err(copying)?;
    connection.close().await.map_err(copying)
}
