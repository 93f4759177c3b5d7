//! What every database that Stead keeps its records in must do.
#![cfg(feature = "control")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod audit;
mod backup;
// Faults are only in builds with debug assertions.
#[cfg(debug_assertions)]
mod crash;
mod records;
mod trouble;

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use stead::clock::{Clock, SystemClock};
use stead::id::FleetId;
use stead::store::{ManagedBy, Node, Store, Workspace};

/// A folder of a test's own, with a store in it.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) fleet: FleetId,
    dir: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&Utf8Path::from_path(dir.path()).unwrap().join(".stead")).await;
        let fleet = FleetId::mint();
        store.bind_fleet(&fleet).await.unwrap();
        Self { store, fleet, dir }
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

/// Does to the store's file what no part of Stead would do.
pub(crate) async fn meddle(store: &Store, sql: &'static str) {
    use sqlx::Connection;
    let file = format!("sqlite://{}", store.dir().join("store.db"));
    let mut connection = sqlx::SqliteConnection::connect(&file).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
