//! The control API over a store, as tests and the fuzzer have it.

use std::sync::Arc;

use camino::Utf8Path;
use stead::accounts::TokenHash;
use stead::api::{App, Settings};
use stead::config::Config;
use stead::fleet::FileSet;
use stead::id::FleetId;
use stead::secrets::keys::FleetKeys;
use stead::store::Store;
use stead::workflow::flows::{self, Platform};
use stead::workflow::{Engine, NoObserver};

/// The token of this machine's operator.
pub(crate) const ROOT: &str = "right";

const FLEET: &str = "
providers:
  local: {kind: local}
  own: {kind: ssh}
tiers:
  starter: {provider: local, size: {vcpus: 1, memory: 1GiB, disk: 10GiB}, image: agent-node, playbooks: [bootstrap]}
  brought: {provider: own, playbooks: [bootstrap]}
workspaces:
  declared: {tier: starter}
";

/// Publishes a fleet that is made in `dir`, and opens the API over it.
pub(crate) async fn app(store: &Store, fleet: &FleetId, dir: &Utf8Path, settings: Settings) -> (App, Engine<Platform>) {
    std::fs::create_dir(dir).unwrap();
    std::fs::write(dir.join("stead.yaml"), format!("fleet: {{name: test, id: {fleet}}}{FLEET}")).unwrap();
    let files = FileSet::read(dir).unwrap();
    let (digest, blob) = (files.digest(), store.blobs().put(files.to_bytes().unwrap()).await.unwrap());
    let publish = store.write(move |tx| Box::pin(async move { tx.publish(&digest, &blob, "local:root").await }));
    publish.await.unwrap();
    let keys = FleetKeys::open_or_create(&FleetKeys::folder(dir)).unwrap();
    let platform = Platform::new(fleet.clone(), dir.to_owned(), Config::from_env().unwrap(), keys, None);
    let platform = Arc::new(platform);
    let engine = Engine::new(store.clone(), platform.clone(), flows::registry(), Arc::new(NoObserver), "local:test");
    (App::new(engine.clone(), platform, TokenHash::of(ROOT.as_bytes()), settings), engine)
}
