//! The statements, one file per noun.
//!
//! Each is written once, in the dialect that both databases speak (`$1`, `ON CONFLICT … DO UPDATE`), and runs natively on
//! either: the macros expand to one call for each database, so that every value is bound and read as that database has it
//! (ids as `uuid`, times as `timestamptz`, JSON as `jsonb` in PostgreSQL; text in SQLite). Where the dialects differ, a
//! statement is a pair: `("SQLite's", "PostgreSQL's")`.
//!
//! A row that a [`super::Tx`] reads with `held!` stays as it is until that transaction ends: in SQLite because there is one
//! writer, in PostgreSQL because the row is locked (`FOR NO KEY UPDATE`). So what a write decides by such a row is still so
//! when it is committed. What a write decides by a row's *absence* is guarded by a unique index.

/// SQLite's half of a statement.
macro_rules! lite {
    (($lite:expr, $postgres:expr)) => {
        $lite
    };
    ($both:expr) => {
        $both
    };
}

/// PostgreSQL's half of a statement.
macro_rules! postgres {
    (($lite:expr, $postgres:expr)) => {
        $postgres
    };
    ($both:expr) => {
        $both
    };
}

/// Runs one statement; the outcome with sqlx's own error.
macro_rules! raw {
    (@ $connection:expr, query<$database:ident, $row:tt>, $fetch:ident, $sql:expr $(, $value:expr)*) => {
        sqlx::query::<sqlx::$database>($sql)$(.bind($value))*.$fetch($connection).await.map(|done| done.rows_affected())
    };
    (@ $connection:expr, $query:ident<$database:ident, $row:tt>, $fetch:ident, $sql:expr $(, $value:expr)*) => {
        sqlx::$query::<sqlx::$database, $row>($sql)$(.bind($value))*.$fetch($connection).await
    };
    ($on:expr, $query:ident<$row:tt>, $fetch:ident, $sql:tt $(, $value:expr)*) => {{
        let done = match $on.connection() {
            $crate::store::reader::Connection::Sqlite(connection) => {
                raw!(@ connection, $query<Sqlite, $row>, $fetch, lite!($sql) $(, $value)*)
            }
            $crate::store::reader::Connection::Postgres(connection) => {
                raw!(@ connection, $query<Postgres, $row>, $fetch, postgres!($sql) $(, $value)*)
            }
        };
        if let Err(error) = &done {
            $on.note_failure(error).await;
        }
        done
    }};
}

/// A row, or none.
macro_rules! optional {
    ($on:expr, $doing:expr, $sql:tt $(, $value:expr)* $(,)?) => {
        raw!($on, query_as<_>, fetch_optional, $sql $(, $value)*).map_err(|error| $crate::store::database($doing, error))
    };
}

/// As `optional!`; in a write, the row is held until its transaction ends.
macro_rules! held {
    ($on:expr, $doing:expr, $sql:literal $(, $value:expr)* $(,)?) => {
        if $on.holds_rows() {
            optional!($on, $doing, ($sql, concat!($sql, " FOR NO KEY UPDATE")) $(, $value)*)
        } else {
            optional!($on, $doing, $sql $(, $value)*)
        }
    };
}

/// All rows.
macro_rules! all {
    ($on:expr, $doing:expr, $sql:tt $(, $value:expr)* $(,)?) => {
        raw!($on, query_as<_>, fetch_all, $sql $(, $value)*).map_err(|error| $crate::store::database($doing, error))
    };
}

/// One row's one column, or none.
macro_rules! scalar {
    ($on:expr, $doing:expr, $sql:tt $(, $value:expr)* $(,)?) => {
        raw!($on, query_scalar<_>, fetch_optional, $sql $(, $value)*)
            .map_err(|error| $crate::store::database($doing, error))
    };
}

/// The one column of the one row that there always is.
macro_rules! one {
    ($on:expr, $doing:expr, $sql:tt $(, $value:expr)* $(,)?) => {
        raw!($on, query_scalar<_>, fetch_one, $sql $(, $value)*).map_err(|error| $crate::store::database($doing, error))
    };
}

/// How many rows a statement changed.
macro_rules! execute {
    ($on:expr, $doing:expr, $sql:tt $(, $value:expr)* $(,)?) => {
        raw!($on, query<_>, execute, $sql $(, $value)*).map_err(|error| $crate::store::database($doing, error))
    };
}

/// Whether a row was inserted: not where what a unique index guards is there already. The transaction goes on either way.
macro_rules! insert {
    ($on:expr, $doing:expr, $sql:literal $(, $value:expr)* $(,)?) => {
        execute!($on, $doing, (concat!($sql, " ON CONFLICT DO NOTHING"), concat!($sql, " ON CONFLICT DO NOTHING")) $(, $value)*)
            .map(|rows| rows == 1)
    };
}

mod agent;
mod agent_channel;
mod audit;
mod count;
mod idempotency;
mod image;
mod login;
mod member;
mod node;
mod person;
mod revision;
mod secret;
mod session;
mod setting;
mod sweep;
mod token;
mod turn;
mod worker;
mod workflow;
mod workspace;
mod workspace_node;

pub use agent::AgentPage;
pub use agent_channel::AgentChannelPage;
pub use count::{LeaseCount, StateCount, WorkflowCount};
pub use person::PersonPage;
pub use turn::Turn;
pub use workflow::WorkflowPage;
pub use workspace::{Listed, WorkspacePage};

/// The databases' integers are signed.
fn signed(number: u64) -> crate::Result<i64> {
    i64::try_from(number)
        .map_err(|error| crate::Error::failed(format!("the number {number} is out of range")).because(error))
}
