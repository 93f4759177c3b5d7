//! The databases' errors, with a way out where there is one.

use crate::{Error, Kind};

/// A database error, with a way out where there is one.
pub(super) fn database(doing: &str, error: sqlx::Error) -> Error {
    let kind = match &error {
        error if is_unavailable(error) => Kind::Unavailable,
        error if is_no_text(error) => Kind::Input,
        _ => Kind::Failed,
    };
    let hint = hint(&error);
    let failed = Error::new(kind, doing).because(error);
    match hint {
        Some(hint) => failed.hint(hint),
        None => failed,
    }
}

/// Whether the database does not answer now, and may answer when it is asked again.
pub(super) fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) if is_postgres(&**error) => {
            // 08: the connection; 0A000: a plan from before the schema's last step; 25006: a standby that is not promoted yet;
            // 25P03: this program slept in a transaction; 40: taken back for the sake of others; 53: out of connections,
            // memory or disk; 55P03: others hold what this waits for; 57014: it took too long; 57P: the server shuts down or
            // starts.
            // https://www.postgresql.org/docs/current/errcodes-appendix.html
            let code = error.code().unwrap_or_default();
            ["08", "0A000", "25006", "25P03", "40", "53", "55P03", "57014", "57P"]
                .iter()
                .any(|class| code.starts_with(class))
        }
        // 13: the disk is full, which may change, and then the same goes through.
        sqlx::Error::Database(error) => sqlite_code(&**error) == Some(13),
        _ => false,
    }
}

/// Whether the server refuses a statement that was prepared before the schema's last step.
pub(super) fn is_stale(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if is_postgres(&**error) && error.code().as_deref() == Some("0A000"))
}

/// Whether what was given has a NUL in it, which is no text to PostgreSQL: 22021 in a text, 22P05 in JSON.
fn is_no_text(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    is_postgres(&**error) && error.code().is_some_and(|code| ["22021", "22P05"].contains(&&*code))
}

fn is_postgres(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some()
}

/// SQLite's primary result code (https://www.sqlite.org/rescode.html): the low byte.
fn sqlite_code(error: &dyn sqlx::error::DatabaseError) -> Option<i32> {
    Some(error.code()?.parse::<i32>().ok()? & 0xff)
}

fn hint(error: &sqlx::Error) -> Option<&'static str> {
    match error {
        sqlx::Error::Database(error) if is_postgres(&**error) => {
            let code = error.code().unwrap_or_default();
            match &*code {
                "08P01" if error.message().contains("startup parameter") => {
                    Some("a pooler refuses this: in PgBouncer, set `ignore_startup_parameters = extra_float_digits`")
                }
                // Statements are prepared, and work is heard of, on a session that stays the same.
                "26000" | "42P05" => {
                    Some("a pooler changes sessions between transactions: in PgBouncer, set `pool_mode = session`")
                }
                "22021" | "22P05" => Some("there is a NUL in what was given, which PostgreSQL's text cannot have"),
                "28000" | "28P01" => Some("check the user in the database's URL, and its password"),
                "3D000" => Some("there is no such database: make it with `createdb`, then run `stead migrate`"),
                "42501" => Some("the database's user lacks a privilege: it must own the database that it uses"),
                "40001" | "40P01" => Some("two programs were in each other's way; the same command again goes through"),
                "55P03" | "57014" => Some("other programs hold what this waits for; try again in a moment"),
                "53100" => Some("the database's disk is full: free some space there"),
                "53300" => {
                    Some("the server takes no more connections: raise its max_connections, or stop other programs")
                }
                code if code.starts_with("57P") => Some("the server shuts down or starts; try again when it runs"),
                _ => None,
            }
        }
        sqlx::Error::Database(error) => match sqlite_code(&**error)? {
            5 | 6 => Some("another program holds the store for long; try again when it is done"),
            8 => Some("the store cannot be written: check the owner and mode of the .stead folder"),
            11 | 26 => Some("the store's file is damaged: restore it from a backup with `stead restore`"),
            13 => Some("the disk is full: free some space on that file system, then run the same command again"),
            _ => None,
        },
        sqlx::Error::Io(_) => Some("check that PostgreSQL runs at the address in the database's URL"),
        sqlx::Error::PoolTimedOut => {
            Some("PostgreSQL does not answer, or all of this program's connections are in use")
        }
        _ => None,
    }
}
