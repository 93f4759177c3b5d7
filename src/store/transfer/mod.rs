//! Carrying a store's records over from one database to the other: a backup of PostgreSQL is an embedded store, and an
//! embedded store can be taken over into PostgreSQL.

use camino::Utf8Path;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres, Row, Sqlite, SqliteConnection};
use uuid::Uuid;

use self::tables::{FENCE, Holds, TABLES, Table};
use super::{Database, Listed, Store, database, postgres, sqlite};
use crate::clock::Timestamp;
use crate::id::{decode, encode};
use crate::{Error, Kind, Result};

mod tables;

/// A column's value, as neither database has it.
enum Value {
    Text(Option<String>),
    Number(Option<i64>),
    Flag(Option<bool>),
    Time(Option<Timestamp>),
    Json(Option<Json<serde_json::Value>>),
    Id(Option<Uuid>, &'static str),
}

/// The setting that says where a store was taken over to.
pub(super) const MOVED: &str = "moved";

const DOING: &str = "carrying the records over";

fn failed(error: sqlx::Error) -> Error {
    database(DOING, error)
}

impl Store {
    /// Copies the records, as they are at one moment, into a new embedded store's file, while others go on.
    pub(super) async fn copy(&self, file: &Utf8Path) -> Result<()> {
        let pool = match &self.0.database {
            Database::Sqlite(_) => return sqlite::copy(self.dir(), file).await,
            Database::Postgres(pool) => pool,
        };
        let mut to = sqlite::blank(file).await?;
        let begin = postgres::begin(pool, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        let mut from = begin.await.map_err(failed)?;
        sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *from).await.map_err(failed)?;
        to_sqlite(&mut from, &mut to).await?;
        to.close().await.map_err(failed)
    }

    /// Carries blobs and records of an embedded store over into this one, which is in PostgreSQL and holds no fleet yet.
    pub(super) async fn carry_over(&self, from: &Store) -> Result<()> {
        let Database::Postgres(pool) = &self.0.database else {
            return Err(Error::failed("records are carried over into PostgreSQL only"));
        };
        for key in from.blobs().list().await? {
            self.blobs().put_file(&key, &from.blobs().file(&key)).await?;
        }
        let mut reader = sqlite::reader(from.dir()).await?;
        to_postgres(&mut reader, &mut *pool.acquire().await.map_err(failed)?).await?;
        reader.close().await.map_err(failed)
    }

    /// Where this store was taken over to, if it was.
    ///
    /// # Errors
    /// Fails where the store cannot be read.
    pub async fn moved(&self) -> Result<Option<String>> {
        self.read().await?.setting(MOVED).await
    }

    /// Takes an embedded store over: what it holds is here then, and it says where, and refuses to be used. Its local nodes lie
    /// on `host`, and its unfinished workflows are for that host. For whoever holds the fleet's lock. May be called again after
    /// it was cut short, and where the two have parted only in name: another spelling of the database's address, a database
    /// that was restored elsewhere, a fresh copy of the fleet's folder.
    ///
    /// # Errors
    /// Fails where this store holds another fleet, and where both hold the fleet and both are in use.
    pub async fn take_over(&self, from: &Store, host: &str) -> Result<()> {
        let mut reader = from.read().await?;
        let (fleet, moved) = (reader.fleet().await?, reader.setting(MOVED).await?);
        let is_empty = reader.latest_revision().await?.is_none() && reader.workspaces(Listed::All).await?.is_empty();
        drop(reader);
        let fleet = fleet.ok_or_else(|| Error::input(format!("the store {} holds no fleet", from.place())))?;
        let is_here = self.read().await?.fleet().await?.as_ref() == Some(&fleet);
        match &moved {
            None if is_here && !is_empty => {
                return Err(Error::input(format!("the fleet {fleet} is {} already", self.place()))
                    .hint(format!("the store {} is another one of the same fleet, and in use", from.place())));
            }
            Some(place) if !is_here && place != self.place() => {
                return Err(Error::input(format!("the store {} was taken over: it is {place} now", from.place()))
                    .hint(
                        "a fleet has one store; where that taking over was cut short, name the same database again",
                    ));
            }
            _ => {}
        }
        // Before, not after: at no moment may both be used.
        let (place, host) = (self.place().to_owned(), host.to_owned());
        let marked = from.write(move |tx| {
            Box::pin(async move {
                tx.set_setting(MOVED, &place).await?;
                tx.settle(&host).await
            })
        });
        marked.await?;
        if is_here {
            return Ok(());
        }
        let carried = self.carry_over(from).await;
        // Where the answer to the commit was lost, nobody knows; the same command again finds out.
        if carried.as_ref().is_err_and(|error| error.kind() != Kind::Unavailable) {
            from.write(|tx| Box::pin(async move { tx.delete_setting(MOVED).await })).await?;
        }
        carried
    }
}

/// Carries all records from PostgreSQL into an empty embedded store's file. The reader's transaction must see one state for
/// as long as this takes (REPEATABLE READ).
pub(super) async fn to_sqlite(from: &mut PgConnection, to: &mut SqliteConnection) -> Result<()> {
    let mut to = to.begin().await.map_err(failed)?;
    for table in TABLES {
        let select = AssertSqlSafe(select(table));
        let mut rows = sqlx::query(select).fetch(&mut *from);
        let insert = insert(table);
        while let Some(row) = futures::TryStreamExt::try_next(&mut rows).await.map_err(failed)? {
            let values = columns(table, |index, holds| value_of_postgres(&row, index, holds))?;
            let query = sqlx::query(AssertSqlSafe(insert.clone()));
            values.into_iter().fold(query, bind_sqlite).execute(&mut *to).await.map_err(failed)?;
        }
    }
    let fence: i64 = sqlx::query_scalar("SELECT last_value FROM fences").fetch_one(from).await.map_err(failed)?;
    sqlx::query("INSERT INTO settings (key, value) VALUES ($1, $2)")
        .bind(FENCE)
        .bind(fence.to_string())
        .execute(&mut *to)
        .await
        .map_err(failed)?;
    to.commit().await.map_err(failed)
}

/// Carries all records from an embedded store into a PostgreSQL database that holds none; nothing is there where this fails.
/// Leases are not carried over: whoever held one works on the store that is left behind.
///
/// # Errors
/// Fails where the database belongs to a fleet already.
pub(super) async fn to_postgres(from: &mut SqliteConnection, to: &mut PgConnection) -> Result<()> {
    let mut to = to.begin().await.map_err(failed)?;
    // Streaming many rows takes as long as it takes.
    sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *to).await.map_err(failed)?;
    // Nobody else may begin to use the database meanwhile.
    sqlx::query("LOCK TABLE settings IN EXCLUSIVE MODE").execute(&mut *to).await.map_err(failed)?;
    let taken: Option<String> = sqlx::query_scalar("SELECT value FROM settings WHERE key = 'fleet'")
        .fetch_optional(&mut *to)
        .await
        .map_err(failed)?;
    if let Some(fleet) = taken {
        return Err(Error::input(format!("the database holds the fleet {fleet} already"))
            .hint("make a new database with `createdb`, and prepare it with `stead migrate`"));
    }
    let mut fence = 0;
    for table in TABLES {
        let mut rows = sqlx::query(AssertSqlSafe(select(table))).fetch(&mut *from);
        let insert = insert(table);
        while let Some(row) = futures::TryStreamExt::try_next(&mut rows).await.map_err(failed)? {
            let values = columns(table, |index, holds| value_of_sqlite(&row, index, holds))?;
            match &values[..] {
                [Value::Text(Some(key)), Value::Text(Some(value))] if key == FENCE => {
                    fence = value.parse().unwrap_or_default();
                    continue;
                }
                [Value::Text(Some(key)), Value::Text(_)] if key == MOVED => continue,
                _ => {}
            }
            let query = sqlx::query(AssertSqlSafe(insert.clone()));
            values.into_iter().fold(query, bind_postgres).execute(&mut *to).await.map_err(failed)?;
        }
    }
    for statement in [
        "UPDATE workflows SET holder = NULL, lease_until = NULL",
        "SELECT setval(pg_get_serial_sequence('audit_entries', 'position'), coalesce(max(position), 0) + 1, false) \
         FROM audit_entries",
    ] {
        sqlx::query(statement).execute(&mut *to).await.map_err(failed)?;
    }
    sqlx::query("SELECT setval('fences', $1)").bind(i64::max(fence, 1)).execute(&mut *to).await.map_err(failed)?;
    to.commit().await.map_err(failed)
}

fn select(table: &Table) -> String {
    format!("SELECT {} FROM {} ORDER BY {}", names(table), table.name, table.order)
}

fn insert(table: &Table) -> String {
    let places: Vec<String> = (1..=table.columns.len()).map(|n| format!("${n}")).collect();
    format!("INSERT INTO {} ({}) VALUES ({})", table.name, names(table), places.join(", "))
}

/// The columns' names; one of them is a reserved word of PostgreSQL's.
fn names(table: &Table) -> String {
    table.columns.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

fn columns(table: &Table, value: impl Fn(usize, Holds) -> sqlx::Result<Value>) -> Result<Vec<Value>> {
    let values = table.columns.iter().enumerate().map(|(index, (_, holds))| value(index, *holds));
    values.collect::<sqlx::Result<_>>().map_err(|error| failed(error).context(format!("the table {}", table.name)))
}

fn value_of_sqlite(row: &SqliteRow, index: usize, holds: Holds) -> sqlx::Result<Value> {
    Ok(match holds {
        Holds::Text => Value::Text(row.try_get(index)?),
        Holds::Number => Value::Number(row.try_get(index)?),
        Holds::Flag => Value::Flag(row.try_get(index)?),
        Holds::Time => Value::Time(row.try_get(index)?),
        Holds::Json => Value::Json(row.try_get(index)?),
        Holds::Id(prefix) => {
            let text: Option<String> = row.try_get(index)?;
            let uuid = |text: String| {
                let suffix = text.strip_prefix(prefix).and_then(|rest| decode(rest.strip_prefix('_')?));
                suffix
                    .ok_or_else(|| sqlx::Error::Decode(format!("{text:?} is not an id of the form {prefix}_…").into()))
            };
            Value::Id(text.map(uuid).transpose()?, prefix)
        }
    })
}

fn value_of_postgres(row: &PgRow, index: usize, holds: Holds) -> sqlx::Result<Value> {
    Ok(match holds {
        Holds::Text => Value::Text(row.try_get(index)?),
        Holds::Number => Value::Number(row.try_get(index)?),
        Holds::Flag => Value::Flag(row.try_get(index)?),
        Holds::Time => Value::Time(row.try_get(index)?),
        Holds::Json => Value::Json(row.try_get(index)?),
        Holds::Id(prefix) => Value::Id(row.try_get(index)?, prefix),
    })
}

type SqliteQuery<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;
type PostgresQuery<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

fn bind_sqlite(query: SqliteQuery<'_>, value: Value) -> SqliteQuery<'_> {
    match value {
        Value::Text(value) => query.bind(value),
        Value::Number(value) => query.bind(value),
        Value::Flag(value) => query.bind(value),
        Value::Time(value) => query.bind(value),
        Value::Json(value) => query.bind(value),
        Value::Id(value, prefix) => query.bind(value.map(|uuid| format!("{prefix}_{}", encode(uuid)))),
    }
}

fn bind_postgres(query: PostgresQuery<'_>, value: Value) -> PostgresQuery<'_> {
    match value {
        Value::Text(value) => query.bind(value),
        Value::Number(value) => query.bind(value),
        Value::Flag(value) => query.bind(value),
        Value::Time(value) => query.bind(value),
        Value::Json(value) => query.bind(value),
        Value::Id(value, _) => query.bind(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_column_of_every_table_is_carried_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = sqlite::blank(&Utf8Path::from_path(dir.path()).unwrap().join("store.db")).await.unwrap();
        let there: Vec<(String, String)> = sqlx::query_as(
            "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c \
             WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name NOT LIKE '\\_sqlx%' ESCAPE '\\' ORDER BY 1, 2",
        )
        .fetch_all(&mut store)
        .await
        .unwrap();
        let there: Vec<_> =
            there.into_iter().filter(|(table, _)| !tables::LEFT_BEHIND.contains(&table.as_str())).collect();
        let mut carried: Vec<(String, String)> = TABLES
            .iter()
            .flat_map(|table| table.columns.iter().map(|(column, _)| (table.name.to_owned(), (*column).to_owned())))
            .collect();
        carried.sort();
        assert_eq!(carried, there);
    }
}
