//! The flows themselves, by omicron's method: every step run twice, every step failing in turn with the undo of all
//! before it run twice, and afterwards nothing left.

use stead::store::{ManagedBy, Workspace};
use stead::workflow::flows::{Params, deprovision, provision};
use stead::workflow::test_helpers::exercise;

use crate::fleet::TestFleet;
use crate::workbench::Workbench;

#[tokio::test(flavor = "multi_thread")]
async fn node_flows_run_twice_and_fail_everywhere_without_a_trace() {
    let fleet = TestFleet::new(&["acme"]);
    let bench = Workbench::new(&fleet).await;
    let (store, revision) = (&bench.store, bench.publish().await);
    let insert = store.write(move |tx| {
        Box::pin(async move {
            let workspace = Workspace::new("acme", "starter", ManagedBy::Files, tx.now());
            tx.insert_workspace(&workspace).await?;
            Ok(workspace)
        })
    });
    let workspace = insert.await.expect("written");
    let params = Params::of(&workspace, "test");
    let params = serde_json::to_value(params).expect("JSON");
    let engine = |flow| bench.engine(flow);
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
