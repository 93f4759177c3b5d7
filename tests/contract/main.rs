//! What every database that Stead keeps its records in must do.
#![cfg(feature = "control")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api;
mod audit;
mod backup;
// Faults are only in builds with debug assertions.
#[cfg(debug_assertions)]
pub(crate) mod crash;
mod records;
mod shared;
mod telemetry;
mod trouble;
mod workers;

#[path = "../support/asked.rs"]
mod asked;
#[path = "../support/collector.rs"]
mod collector;
#[path = "../support/control.rs"]
mod control;
#[path = "../support/mail.rs"]
mod mail;
#[path = "../support/postgres.rs"]
mod postgres;

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use sqlx::Connection;
use stead::clock::{Clock, SystemClock};
use stead::id::FleetId;
use stead::store::{ManagedBy, Node, Store, Workspace};

use crate::postgres::Database;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// Runs tests on both databases.
macro_rules! both {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(crate::Kind::Sqlite).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(crate::Kind::Postgres).await;
            })+
        }
    };
}
pub(crate) use both;

/// A folder of a test's own, with a store in it or beside it.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) fleet: FleetId,
    place: Place,
    dir: tempfile::TempDir,
}

/// Where a store is, in words that a child process can be told.
pub(crate) enum Place {
    Folder(Utf8PathBuf),
    Database(Database, Utf8PathBuf),
}

impl Place {
    /// As [`open_place`] takes it.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Folder(dir) => dir.to_string(),
            Self::Database(database, dir) => format!("{} {dir}", database.url()),
        }
    }
}

/// The store at a place.
pub(crate) async fn open_place(words: &str) -> Store {
    match words.split_once(' ') {
        None => open(Utf8Path::new(words)).await,
        Some((url, dir)) => {
            let options = url.parse().unwrap();
            Store::connect(options, Utf8Path::new(dir), Arc::new(SystemClock)).await.unwrap()
        }
    }
}

impl World {
    pub(crate) async fn new(kind: Kind) -> Self {
        let world = Self::unbound(kind).await;
        world.store.bind_fleet(&world.fleet).await.unwrap();
        world
    }

    /// One whose store belongs to no fleet yet.
    pub(crate) async fn unbound(kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => Self::at(tempfile::tempdir().unwrap(), Place::Folder).await,
            Kind::Postgres => Self::of(Database::new()).await,
        }
    }

    /// One over this database, which is empty.
    pub(crate) async fn of(database: Database) -> Self {
        assert_ne!(Store::migrate(database.url().parse().unwrap()).await.unwrap(), 0);
        Self::at(tempfile::tempdir().unwrap(), |folder| Place::Database(database, folder)).await
    }

    /// One whose store is in a folder below this one.
    pub(crate) async fn within(dir: &Utf8Path) -> Self {
        let world = Self::at(tempfile::tempdir_in(dir).unwrap(), Place::Folder).await;
        world.store.bind_fleet(&world.fleet).await.unwrap();
        world
    }

    async fn at(dir: tempfile::TempDir, place: impl FnOnce(Utf8PathBuf) -> Place) -> Self {
        let place = place(Utf8Path::from_path(dir.path()).unwrap().join(".stead"));
        let store = open_place(&place.words()).await;
        Self { store, fleet: FleetId::mint(), place, dir }
    }

    /// The same store, as another program has it.
    pub(crate) async fn open_again(&self) -> Store {
        open_place(&self.place.words()).await
    }

    /// Stops the server and starts it again, where it is this test's own.
    pub(crate) fn server(&self) -> &crate::postgres::Server {
        match &self.place {
            Place::Database(database, _) => database.server(),
            Place::Folder(_) => panic!("there is no server"),
        }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Does to the store what no part of Stead would do.
    pub(crate) async fn meddle(&self, sql: &'static str) {
        match &self.place {
            Place::Folder(dir) => {
                let mut connection =
                    sqlx::SqliteConnection::connect(&format!("sqlite://{dir}/store.db")).await.unwrap();
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Place::Database(database, _) => database.meddle(sql),
        }
    }

    pub(crate) fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.dir.path()).unwrap().join(name)
    }

    /// Records a workspace and its node.
    pub(crate) async fn with_node(&self, slug: &str) -> (Workspace, Node) {
        let now = SystemClock.now();
        let workspace = Workspace::new(slug, "starter", ManagedBy::Files, now);
        let node = Node::new(&self.fleet, workspace.id, "local", "local", now);
        let records = (workspace.clone(), node.clone());
        let written = self.store.write(move |tx| {
            Box::pin(async move {
                tx.insert_workspace(&workspace).await?;
                tx.insert_node(&node).await
            })
        });
        written.await.unwrap();
        records
    }
}

pub(crate) async fn open(dir: &Utf8Path) -> Store {
    Store::open(dir, Arc::new(SystemClock)).await.unwrap()
}
