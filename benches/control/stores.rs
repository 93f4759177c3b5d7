//! Stores to measure.

use std::path::Path;
use std::sync::Arc;

use camino::Utf8Path;
use stead::clock::SystemClock;
use stead::id::FleetId;
use stead::store::Store;

use crate::postgres::{Database, Server};

/// A store of a kind, in a folder of its own; its place in words that a child process can be told.
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) place: String,
    /// Ends the server when it is dropped.
    _database: Option<Database>,
}

impl Measured {
    pub(crate) async fn sqlite(dir: &Path) -> Self {
        let place = dir.join("sqlite").to_str().unwrap().to_owned();
        prepare(&place).await;
        Self { name: "SQLite", place, _database: None }
    }

    /// In a server as people run it: what is committed is on the disk.
    pub(crate) async fn postgres(dir: &Path) -> Self {
        let database = Database::in_own(Server::durable(&dir.join("server")));
        Store::migrate(database.url().parse().unwrap()).await.unwrap();
        let place = format!("{} {}", database.url(), dir.join("postgres").display());
        prepare(&place).await;
        Self { name: "PostgreSQL", place, _database: Some(database) }
    }
}

async fn prepare(place: &str) {
    let store = open(place).await;
    store.bind_fleet(&FleetId::mint()).await.unwrap();
    store.close().await;
}

/// The store at a place.
pub(crate) async fn open(place: &str) -> Store {
    match place.split_once(' ') {
        None => Store::open(Utf8Path::new(place), Arc::new(SystemClock)).await.unwrap(),
        Some((url, dir)) => {
            Store::connect(url.parse().unwrap(), Utf8Path::new(dir), Arc::new(SystemClock)).await.unwrap()
        }
    }
}
