//! The orphan sweep: machines without a record, records without a machine, and another fleet's machines beside them.

use std::sync::Arc;

use camino::Utf8PathBuf;
use serde_json::Value;
use sqlx::Connection;
use stead::clock::SystemClock;
use stead::config::Config;
use stead::id::Mark;
use stead::provider;
use stead::store::{Listed, NodeState, Store};

use crate::fleet::{TestFleet, text};

/// What a sweep finds, and its exit code.
fn sweep(fleet: &TestFleet, flags: &[&str]) -> (Vec<(String, bool)>, i32) {
    let output = fleet.run(&[&["--json", "node", "sweep"], flags].concat());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    let one = |finding: &Value| (finding["fault"].as_str().expect("a word").to_owned(), finding["mended"] == true);
    (found.as_array().expect("a list").iter().map(one).collect(), output.status.code().expect("it ended"))
}

fn found(what: &str, mended: bool) -> Vec<(String, bool)> {
    vec![(what.to_owned(), mended)]
}

async fn open(fleet: &TestFleet) -> Store {
    Store::open(&fleet.dir.join(".stead"), Arc::new(SystemClock)).await.expect("opened")
}

/// Does to the record what no part of Stead would do.
async fn meddle(fleet: &TestFleet, sql: &'static str) {
    let url = format!("sqlite://{}", fleet.dir.join(".stead/store.db"));
    let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("opened");
    sqlx::raw_sql(sql).execute(&mut connection).await.expect("done");
    connection.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn node_and_record_that_have_parted_are_told_and_mended() {
    let (fleet, other) = (TestFleet::new(&["acme"]), TestFleet::new(&["beta"]));
    fleet.ok(&["up"]);
    other.ok(&["up"]);
    assert_eq!(sweep(&fleet, &[]), (Vec::new(), 0));

    // The machine is gone, and nobody took it down.
    let store = open(&fleet).await;
    let node = store.read().await.expect("read").nodes(Listed::Live).await.expect("read").remove(0);
    let mut config = Config::from_env().expect("settings");
    config.program = Utf8PathBuf::from(env!("CARGO_BIN_EXE_stead"));
    let id = fleet.id.parse().expect("an id");
    let local = provider::of_kind("local", &id, &fleet.dir, &config).expect("a provider");
    local.destroy(&node.mark).await.expect("destroyed");
    assert_eq!(sweep(&fleet, &[]), (found("lost", false), 3));
    assert_eq!(sweep(&fleet, &["--fix"]), (found("lost", true), 0));
    let state = store.read().await.expect("read").node(node.id).await.expect("read").expect("there").state;
    assert_eq!(state, NodeState::Degraded);
    assert_eq!(sweep(&fleet, &["--fix"]), (found("lost", false), 3), "it stays lost until it is taken down");
    fleet.ok(&["down", "--yes"]);
    assert_eq!(sweep(&fleet, &[]), (Vec::new(), 0));

    // The node is gone, and its machine is not.
    fleet.ok(&["up"]);
    meddle(&fleet, "UPDATE nodes SET state = 'gone'").await;
    assert_eq!(sweep(&fleet, &[]), (found("left_over", false), 3));
    assert_eq!(sweep(&fleet, &["--fix"]), (found("left_over", true), 0));
    assert_eq!(fleet.traces(), Vec::<String>::new());
    let log = String::from_utf8(fleet.ok(&["audit", "show"]).stdout).expect("UTF-8");
    assert!(log.contains("machine.destroy") && log.contains("node.lost"), "{log}");

    // A record that was lost, as by a restore from an older backup: only who asks for just that destroys the machine.
    fleet.ok(&["up"]);
    meddle(&fleet, "DELETE FROM envelopes; DELETE FROM secrets; DELETE FROM nodes").await;
    let usage = fleet.run(&["node", "sweep", "--unknown"]);
    assert_eq!(usage.status.code(), Some(2), "{}", text(&usage));
    assert_eq!(sweep(&fleet, &["--fix"]), (found("unknown", false), 3));
    assert_eq!(sweep(&fleet, &["--fix", "--unknown"]), (found("unknown", true), 0));
    assert_eq!(fleet.traces(), Vec::<String>::new());

    // Nothing of all this has touched the other fleet.
    let theirs = open(&other).await.read().await.expect("read").nodes(Listed::Live).await.expect("read").remove(0);
    assert!(Mark::parse(&id, theirs.mark.as_str()).is_none());
    assert_eq!(sweep(&other, &[]), (Vec::new(), 0));
    other.ok(&["down", "--yes"]);
}
