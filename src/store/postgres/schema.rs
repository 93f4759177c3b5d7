//! The schema's version, and what the server must be.
//!
//! `stead migrate` brings a schema up to date, and nobody else does: with several programs on one database, an update is an
//! operator's act. A program that is older than the schema goes on, since steps expand before they contract
//! (migrations/README.md); the step that contracts sets `schema.least`, the oldest schema that a program must know.

use sqlx::PgPool;
use sqlx::migrate::MigrateError;

use crate::store::database;
use crate::{Error, Result};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/postgres");

/// The oldest server that is known to work; Debian 12 has 15.
const OLDEST: i32 = 130_000;

fn known() -> i64 {
    MIGRATIONS.iter().map(|step| step.version).max().unwrap_or_default()
}

/// Refuses servers on which the statements would not mean what they should.
pub(super) async fn check_server(pool: &PgPool) -> Result<()> {
    let (version, encoding): (i32, String) =
        sqlx::query_as("SELECT current_setting('server_version_num')::int, current_setting('server_encoding')")
            .fetch_one(pool)
            .await
            .map_err(|error| database("asking the database for its version", error))?;
    if version < OLDEST {
        return Err(Error::failed(format!("the server is PostgreSQL {}; 13 is the least", version / 10_000))
            .hint("use a newer server"));
    }
    if encoding != "UTF8" {
        return Err(Error::failed(format!("the database's encoding is {encoding}"))
            .hint("make a new one: `createdb --encoding=UTF8 --template=template0 NAME`"));
    }
    Ok(())
}

/// Brings the schema up to date; how many steps were taken. Two who do this at once wait for each other.
pub(in crate::store) async fn migrate(pool: &PgPool) -> Result<u64> {
    let before = applied(pool).await?.map_or(0, |(_, count)| count);
    let mut migrator = sqlx::migrate::Migrator::with_migrations(MIGRATIONS.iter().cloned().collect());
    // Steps of a newer program stand.
    migrator.set_ignore_missing(true);
    migrator.run(pool).await.map_err(|error| match error {
        MigrateError::VersionMismatch(version) => {
            Error::failed(format!("schema {version} of this database is not the one that was released"))
                .hint("an unreleased stead has written it; restore a backup into another database")
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            database("bringing the database's schema up to date", error)
        }
        other => Error::failed("bringing the database's schema up to date").because(other),
    })?;
    let after = applied(pool).await?.map_or(0, |(_, count)| count);
    Ok(u64::try_from(after - before).unwrap_or_default())
}

/// Checks that this program and the schema suit each other.
pub(in crate::store) async fn check(pool: &PgPool) -> Result<()> {
    let migrate = "`stead migrate` brings it up to date; take a backup before";
    let Some((version, _)) = applied(pool).await? else {
        return Err(Error::failed("the database holds nothing of Stead's yet").hint("`stead migrate` prepares it"));
    };
    if version < known() {
        return Err(
            Error::failed(format!("the database has schema {version}; this program needs {}", known())).hint(migrate)
        );
    }
    let least: Option<String> = sqlx::query_scalar("SELECT value FROM settings WHERE key = 'schema.least'")
        .fetch_optional(pool)
        .await
        .map_err(|error| database("reading the schema's version", error))?;
    match least.and_then(|least| least.parse::<i64>().ok()) {
        Some(least) if least > known() => Err(Error::failed(format!(
            "a newer stead has changed this database (schema {version}; programs must know {least}, this one knows {})",
            known()
        ))
        .hint("use the newer stead")),
        _ => Ok(()),
    }
}

/// The schema's version and how many steps it has had; none where there is none.
async fn applied(pool: &PgPool) -> Result<Option<(i64, i64)>> {
    let reading = |error| database("reading the schema's version", error);
    let there: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(pool)
        .await
        .map_err(reading)?;
    if !there {
        return Ok(None);
    }
    let found: (Option<i64>, i64) = sqlx::query_as("SELECT max(version), count(*) FROM _sqlx_migrations WHERE success")
        .fetch_one(pool)
        .await
        .map_err(reading)?;
    Ok(found.0.map(|version| (version, found.1)))
}
