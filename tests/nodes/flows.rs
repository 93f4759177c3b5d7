//! The flows themselves, by omicron's method: every step run twice, every step failing in turn with the undo of all
//! before it run twice, and afterwards nothing left.

use std::sync::Arc;

use camino::Utf8PathBuf;
use stead::clock::SystemClock;
use stead::config::Config;
use stead::fleet::FileSet;
use stead::secrets::keys::FleetKeys;
use stead::secrets::vault::Vault;
use stead::store::{ManagedBy, Store, Workspace};
use stead::workflow::flows::{Params, Platform, deprovision, provision};
use stead::workflow::test_helpers::exercise;
use stead::workflow::{Engine, NoObserver, Registry};

use crate::fleet::TestFleet;

#[tokio::test(flavor = "multi_thread")]
async fn node_flows_run_twice_and_fail_everywhere_without_a_trace() {
    let fleet = TestFleet::new(&["acme"]);
    let mut config = Config::from_env().expect("settings");
    config.program = Utf8PathBuf::from(env!("CARGO_BIN_EXE_stead"));
    let store = Store::open(&fleet.dir.join(".stead"), Arc::new(SystemClock)).await.expect("opened");
    let files = FileSet::read(&fleet.dir).expect("read");
    let blob = store.blobs().put(files.to_bytes().expect("packed")).await.expect("stored");
    let digest = files.digest();
    let (revision, workspace) = store
        .write(move |tx| {
            Box::pin(async move {
                let (revision, _) = tx.publish(&digest, &blob, "test").await?;
                let workspace = Workspace::new("acme", "starter", ManagedBy::Files, tx.now());
                tx.insert_workspace(&workspace).await?;
                Ok((revision, workspace))
            })
        })
        .await
        .expect("written");
    let params = Params::of(&workspace, "test");
    let params = serde_json::to_value(params).expect("JSON");
    let engine = |flow| {
        let keys = FleetKeys::open_or_create(&FleetKeys::folder(&fleet.dir)).expect("keys");
        let vault = Some(Vault::open(&fleet.dir).expect("vault"));
        let id = fleet.id.parse().expect("an id");
        let platform = Arc::new(Platform::new(id, fleet.dir.clone(), config.clone(), keys, vault));
        Engine::new(store.clone(), platform, Registry::default().with(flow), Arc::new(NoObserver), "test")
    };
    let subject = workspace.id.to_string();
    let clean = async || {
        assert_eq!(fleet.traces(), Vec::<String>::new());
        assert!(store.read().await.expect("read").node_of(workspace.id).await.expect("read").is_none());
    };
    exercise(provision::flow, engine, &subject, &params, Some(revision.id), clean).await;
    assert!(store.read().await.expect("read").node_of(workspace.id).await.expect("read").is_some());
    // Nothing of `deprovision` goes back: its first step is the point of no return. It is run with every step twice.
    exercise(deprovision::flow, engine, &subject, &params, Some(revision.id), async || {}).await;
    clean().await;
}
