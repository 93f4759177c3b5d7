//! Flows run by the test itself, over a fleet's own store.

use std::sync::Arc;

use camino::Utf8PathBuf;
use stead::clock::SystemClock;
use stead::config::Config;
use stead::fleet::FileSet;
use stead::secrets::keys::FleetKeys;
use stead::secrets::vault::Vault;
use stead::store::{Store, Workspace};
use stead::workflow::flows::Platform;
use stead::workflow::{Engine, Flow, NoObserver, Registry};

use crate::fleet::TestFleet;

/// A fleet's store, with what flows need.
pub(crate) struct Workbench<'a> {
    fleet: &'a TestFleet,
    config: Config,
    pub(crate) store: Store,
}

impl<'a> Workbench<'a> {
    pub(crate) async fn new(fleet: &'a TestFleet) -> Self {
        let mut config = Config::from_env().expect("settings");
        config.program = Utf8PathBuf::from(env!("CARGO_BIN_EXE_stead"));
        let store = Store::open(&fleet.dir.join(".stead"), Arc::new(SystemClock)).await.expect("opened");
        Self { fleet, config, store }
    }

    pub(crate) fn keys(&self) -> FleetKeys {
        FleetKeys::open_or_create(&FleetKeys::folder(&self.fleet.dir)).expect("keys")
    }

    pub(crate) fn platform(&self) -> Arc<Platform> {
        let vault = Some(Vault::open(&self.fleet.dir).expect("vault"));
        let id = self.fleet.id.parse().expect("an id");
        Arc::new(Platform::new(id, self.fleet.dir.clone(), self.config.clone(), self.keys(), vault))
    }

    /// An engine that knows this flow alone.
    pub(crate) fn engine(&self, flow: Flow<Platform>) -> Engine<Platform> {
        let registry = Registry::default().with(flow);
        Engine::new(self.store.clone(), self.platform(), registry, Arc::new(NoObserver), "test")
    }

    /// Publishes the fleet's files.
    pub(crate) async fn publish(&self) -> stead::store::Revision {
        let files = FileSet::read(&self.fleet.dir).expect("read");
        let blob = self.store.blobs().put(files.to_bytes().expect("packed")).await.expect("stored");
        let digest = files.digest();
        let publish = self.store.write(move |tx| Box::pin(async move { tx.publish(&digest, &blob, "test").await }));
        publish.await.expect("published").0
    }

    pub(crate) async fn workspace(&self, slug: &str) -> Workspace {
        self.store.read().await.expect("read").workspace_by_slug(slug).await.expect("read").expect("it is recorded")
    }
}
