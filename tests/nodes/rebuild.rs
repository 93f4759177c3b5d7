//! Another node in the place of one: with all that is on it, or, before the point of no return, not at all.

use serde_json::{Value, json};
use stead::store::{Node, NodeRole, WorkspaceState};
use stead::workflow::flows::{Params, rebuild};
use stead::workflow::test_helpers::exercise;

use crate::control_plane::{Api, Program};
use crate::crash::dies_at;
use crate::fleet::{PLANTED, TestFleet, files_with, text};
use crate::identity::{workload, workload_of};
use crate::large::watch;
use crate::workbench::Workbench;

pub(crate) const STEPS: [&str; 17] = [
    "old",
    "clear",
    "image",
    "node",
    "machine",
    "boot",
    "host-key",
    "identity",
    "stop",
    "data",
    "secrets",
    "playbooks",
    "health",
    "switch",
    "wipe",
    "old-machine",
    "old-record",
];

/// Puts onto a node what a customer's workload might: names, owners, modes, attributes and holes of every kind.
const PLANT: &str = r#"set -e
umask 077; cd /var/lib/private/agent-acme; mkdir -p deep/er /srv/data
printf 'conversation' >deep/er/$'odd \xff name\n'; chmod 4755 deep/er/*; touch -- '-rf *'; ln -s ../nowhere deep/link
printf 'x' >shared; chown 4711:815 shared; setfattr -n user.stead -v value shared 2>/dev/null || true
ln shared deep/same; mkfifo deep/pipe; truncate -s 200M sparse; printf end | dd of=sparse bs=1 seek=100M conv=notrunc status=none
printf 'data' >/srv/data/file; chmod 640 /srv/data/file; touch -d '2001-02-03 04:05:06.789' deep shared"#;

/// What is known of it, as lines; the same on both nodes.
const LOOK: &str = r#"for top in /var/lib/private/agent-acme /srv/data; do cd $top
find . -mindepth 1 -printf '%P|%y|%m|%U|%G|%s|%n|%l|%T@\n' | LC_ALL=C sort; find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
done; getfattr -d -R --absolute-names /var/lib/private/agent-acme 2>/dev/null || true
test $(stat -c %b /var/lib/private/agent-acme/sparse) -lt 1024 && echo holes"#;

fn look(fleet: &TestFleet, node: &Node) -> String {
    let (whole, seen) = fleet.inside(&node.id.to_string(), LOOK);
    assert!(whole && seen.contains("holes") && seen.contains("odd "), "{seen}");
    seen
}

async fn serving(bench: &Workbench<'_>) -> Node {
    let workspace = bench.workspace("acme").await;
    bench.store.read().await.expect("read").node_of(workspace.id).await.expect("read").expect("there")
}

/// A fleet that is up, with data on its node; the node, and what is seen of the data.
async fn with_data(fleet: &TestFleet) -> (Node, String) {
    fleet.ok(&["up"]);
    let bench = Workbench::new(fleet).await;
    let node = serving(&bench).await;
    let (planted, said) = fleet.inside(&node.id.to_string(), PLANT);
    assert!(planted, "{said}");
    let seen = look(fleet, &node);
    (node, seen)
}

/// The workload was really given the secret that is on record.
async fn holds_its_secret(fleet: &TestFleet, bench: &Workbench<'_>, node: &Node) {
    let workspace = bench.workspace("acme").await;
    let secret = bench.store.read().await.expect("read").secret(workspace.id, "OPENAI_API_KEY").await.expect("read");
    let secret = secret.expect("recorded");
    assert_eq!(secret.node_id, Some(node.id));
    let seen = workload(fleet, node);
    assert!(seen.contains(&secret.fingerprint), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn node_is_rebuilt_twice_over_and_fails_everywhere() {
    let fleet = TestFleet::new(&["acme"]);
    let (old, data) = with_data(&fleet).await;
    let bench = Workbench::new(&fleet).await;
    let workspace = bench.workspace("acme").await;
    let params = serde_json::to_value(Params::of(&workspace, "test")).expect("JSON");
    let as_before = async || {
        let node = serving(&bench).await;
        assert_eq!((node.id, node.state, node.details.get("stopped")), (old.id, old.state, None));
        assert_eq!(bench.workspace("acme").await.state, WorkspaceState::Ready);
        let nodes = bench.store.read().await.expect("read").all_nodes_of(workspace.id).await.expect("read");
        assert_eq!((nodes.len(), fleet.node_dirs().len()), (1, 1), "nothing of the new one is left");
        let blocked = fleet.inside(&node.id.to_string(), "find /etc/systemd/system /var/lib/stead -name '*stopped*'").1;
        assert_eq!(blocked, "");
        holds_its_secret(&fleet, &bench, &node).await;
        assert_eq!(look(&fleet, &node), data);
    };
    let engine = |flow| bench.engine(flow);
    let subject = workspace.id.to_string();
    exercise(rebuild::flow, engine, &subject, &params, workspace.revision_id, as_before).await;
    let new = serving(&bench).await;
    assert_ne!(new.id, old.id);
    assert_eq!(fleet.node_dirs().len(), 1, "the old machine is gone");
    assert!(fleet.node_dirs()[0].as_str().contains(new.mark.as_str()));
    assert_eq!(look(&fleet, &new), data);
    holds_its_secret(&fleet, &bench, &new).await;
    assert_eq!(files_with(&fleet.dir, PLANTED.as_bytes()), Vec::<camino::Utf8PathBuf>::new());
    drop(bench);
    // It is a node as any: it converges, takes new values, and goes without a trace.
    fleet.ok(&["up"]);
    fleet.give("acme", "sk-planted-after-the-rebuild-1a2b");
    assert!(fleet.json(&["secret", "list", "acme"]).to_string().contains("delivered"));
    fleet.ok(&["down", "--yes"]);
    assert_eq!(fleet.traces(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn node_rebuild_survives_a_kill_at_every_boundary() {
    let fleet = TestFleet::new(&["acme"]);
    let (old, data) = with_data(&fleet).await;
    for step in STEPS {
        for point in ["before", "after"] {
            dies_at(&fleet, &["node", "rebuild", "acme"], &format!("rebuild/{step}/{point}"));
        }
    }
    let rebuilt = fleet.json(&["up"]);
    let bench = Workbench::new(&fleet).await;
    let new = serving(&bench).await;
    assert_eq!(rebuilt[0]["node"], new.id.to_string(), "`up` goes on with it as well");
    assert_ne!(new.id, old.id);
    assert_eq!(fleet.node_dirs().len(), 1, "one machine, however often it died");
    assert_eq!(look(&fleet, &new), data);
    holds_its_secret(&fleet, &bench, &new).await;
    let workflows = fleet.json(&["workflow", "list", "--all"]).to_string();
    assert_eq!(workflows.matches("\"rebuild\"").count(), 1, "{workflows}");
    fleet.ok(&["audit", "verify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn node_rebuild_that_fails_is_taken_back_though_it_is_killed_meanwhile() {
    let fleet = TestFleet::new(&["acme"]);
    let (old, data) = with_data(&fleet).await;
    let main = fs_err::read_to_string(fleet.dir.join("stead.yaml")).expect("read");
    fs_err::write(fleet.dir.join("stead.yaml"), main.replace("port: 8080", "port: 8081")).expect("written");
    for step in ["health", "stop", "machine", "node"] {
        for point in ["undo-before", "undo-after"] {
            dies_at(&fleet, &["node", "rebuild", "acme"], &format!("rebuild/{step}/{point}"));
        }
    }
    let failed = fleet.run(&["node", "rebuild", "acme"]);
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed));
    let bench = Workbench::new(&fleet).await;
    assert_eq!((serving(&bench).await.id, fleet.node_dirs().len()), (old.id, 1));
    holds_its_secret(&fleet, &bench, &old).await;
    assert_eq!(look(&fleet, &old), data);
}

#[tokio::test(flavor = "multi_thread")]
async fn node_that_is_dead_is_replaced_only_by_who_names_the_loss() {
    let fleet = TestFleet::new(&["acme"]);
    fleet.ok(&["up"]);
    let bench = Workbench::new(&fleet).await;
    let old = serving(&bench).await;
    bench.platform().provider("local").expect("one").destroy(&old.mark).await.expect("destroyed");
    let refused = fleet.run(&["node", "rebuild", "acme"]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
    assert!(text(&refused).contains("stead node rebuild acme --lose-data"), "{}", text(&refused));
    assert_eq!((serving(&bench).await.id, fleet.node_dirs().len()), (old.id, 0));

    // One that died in the middle: the rebuild that was to lose nothing is given up for one that may.
    let rebuilt = fleet.json(&["node", "rebuild", "acme", "--lose-data"]);
    assert_eq!((&rebuilt["replaces"], &rebuilt["data_lost"]), (&old.id.to_string().into(), &true.into()));
    let new = serving(&bench).await;
    holds_its_secret(&fleet, &bench, &new).await;
    dies_at(&fleet, &["node", "rebuild", "acme"], "rebuild/data/before");
    bench.platform().provider("local").expect("one").destroy(&new.mark).await.expect("destroyed");
    let parked = fleet.run(&["node", "rebuild", "acme"]);
    assert!(text(&parked).contains("--lose-data"), "{}", text(&parked));
    let rebuilt = fleet.json(&["node", "rebuild", "acme", "--lose-data"]);
    assert_eq!(rebuilt["data_lost"], true);
    assert_eq!(fleet.node_dirs().len(), 1, "what the one before had made is gone as well");
    let last = serving(&bench).await;
    holds_its_secret(&fleet, &bench, &last).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_rebuild_that_is_given_up_leaves_nothing_that_is_not_found() {
    let fleet = TestFleet::new(&["acme"]);
    let (old, data) = with_data(&fleet).await;
    let rebuild = ["node", "rebuild", "acme"];
    let abandon = || {
        let workflows = fleet.json(&["workflow", "list"]);
        fleet.ok(&["workflow", "abandon", workflows[0]["id"].as_str().expect("an id")]);
    };
    dies_at(&fleet, &rebuild, "rebuild/data/after");
    assert_eq!(fleet.run(&["node", "sweep"]).status.code(), Some(0), "it may go on");
    let converge = fleet.run(&["converge", "acme"]);
    assert!(text(&converge).contains("being replaced"), "{}", text(&converge));
    abandon();
    let status = text(&fleet.run(&["status"]));
    assert!(status.contains("abandoned rebuild"), "{status}");
    assert_eq!(fleet.run(&["node", "sweep"]).status.code(), Some(3));
    fleet.ok(&["node", "sweep", "--fix"]);
    assert_eq!(fleet.node_dirs().len(), 1);
    // Whatever is done to the old node next starts its workload again.
    fleet.ok(&["up"]);
    let bench = Workbench::new(&fleet).await;
    assert_eq!(serving(&bench).await.id, old.id);
    holds_its_secret(&fleet, &bench, &old).await;
    assert_eq!(look(&fleet, &old), data);
    // Given up behind the point of no return, and taken down in the middle: both machines go.
    dies_at(&fleet, &rebuild, "rebuild/old-machine/before");
    abandon();
    let workspace = bench.workspace("acme").await;
    let left = bench.store.read().await.expect("read").node_as(workspace.id, NodeRole::Outgoing).await.expect("read");
    assert_eq!(left.expect("it is left").id, old.id);
    dies_at(&fleet, &rebuild, "rebuild/boot/after");
    assert_eq!(fleet.node_dirs().len(), 2, "the one that was left went first");
    fleet.ok(&["down", "--yes"]);
    assert_eq!(fleet.traces(), Vec::<String>::new());
}

#[test]
fn node_is_rebuilt_through_the_api_with_its_secrets_or_says_that_they_are_lost() {
    const VALUE: &str = "sk-planted-before-the-rebuild-9e8f";
    let fleet = TestFleet::new(&[]);
    let serve = |fault: Option<&str>| Program::start(&fleet, &["serve", "--listen", "127.0.0.1:0"], fault);
    let (program, ready) = serve(Some("rebuild/data/before"));
    let api = Api::of(&ready);
    let (_, begun) = api.ask("POST /v1/workspaces", &json!({"slug": "acme", "tier": "starter"}));
    let id = begun["workspace"]["id"].as_str().expect("an id").to_owned();
    api.until(&id, "ready");
    let secret = format!("/v1/workspaces/{id}/secrets/OPENAI_API_KEY");
    let (_, given) = api.ask(&format!("PUT {secret}"), &json!({"value": VALUE}));
    api.succeeds(&given);
    let serving = |api: &Api| api.ask(&format!("GET /v1/workspaces/{id}"), &Value::Null).1["node"]["id"].clone();
    let old = serving(&api);
    let (status, begun) = api.ask(&format!("POST /v1/workspaces/{id}/rebuild"), &json!({}));
    assert_eq!(status, 202, "{begun}");
    program.dies("rebuild/data/before");
    for fault in ["rebuild/switch/before", "rebuild/old-machine/after"] {
        serve(Some(fault)).0.dies(fault);
    }
    let (_program, ready) = serve(None);
    let api = Api::of(&ready);
    api.succeeds(&begun);
    let new = serving(&api);
    assert_ne!(new, old);
    assert_eq!((api.until(&id, "ready")["node"]["role"].as_str(), fleet.node_dirs().len()), (Some("serving"), 1));
    let known = |api: &Api| api.ask(&format!("GET /v1/workspaces/{id}/secrets"), &Value::Null).1["items"][0].clone();
    let health = |node: &Value| workload_of(&fleet, node.as_str().expect("an id"));
    assert_eq!(
        (&known(&api)["fingerprint"], &known(&api)["state"]),
        (&given["secret"]["fingerprint"], &json!("delivered"))
    );
    assert!(health(&new).contains(given["secret"]["fingerprint"].as_str().expect("one")));
    assert_eq!(files_with(&fleet.dir, VALUE.as_bytes()), Vec::<camino::Utf8PathBuf>::new());

    let (status, begun) = api.ask(&format!("POST /v1/workspaces/{id}/rebuild"), &json!({"lose_data": true}));
    assert_eq!(status, 202, "{begun}");
    // Suspended while it is replaced: the new node is stopped as soon as it serves.
    let (status, suspended) = api.ask(&format!("POST /v1/workspaces/{id}/suspend"), &json!({}));
    assert_eq!(status, 202, "{suspended}");
    api.succeeds(&begun);
    api.succeeds(&suspended);
    let node = api.until(&id, "suspended")["node"].clone();
    assert_eq!((&node["state"], fleet.node_dirs().len()), (&json!("stopped"), 1));
    let (_, resumed) = api.ask(&format!("POST /v1/workspaces/{id}/resume"), &json!({}));
    api.succeeds(&resumed);
    assert_eq!(known(&api)["state"], "lost");
    let last = serving(&api);
    assert_eq!(node["id"], last);
    let seen = health(&last);
    assert!(last != new && seen.contains("200 OK") && !seen.contains("OPENAI_API_KEY"), "{seen}");
    let (_, again) = api.ask(&format!("PUT {secret}"), &json!({"value": VALUE}));
    api.succeeds(&again);
    assert_eq!(known(&api)["state"], "delivered");
    assert!(health(&last).contains(again["secret"]["fingerprint"].as_str().expect("one")));
    api.ask(&format!("DELETE /v1/workspaces/{id}"), &Value::Null);
    api.until(&id, "gone");
    assert_eq!(fleet.traces(), Vec::<String>::new());
}

/// What either side may hold in memory at most, in KiB: less than the data has.
const MOST: u64 = 90 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn node_hands_over_more_than_fits_into_memory() {
    let fleet = TestFleet::new(&["acme"]);
    fleet.ok(&["up"]);
    let old = serving(&Workbench::new(&fleet).await).await;
    let mebibytes = std::env::var("STEAD_TEST_REBUILD_MIB").unwrap_or_else(|_| "256".into());
    let plant =
        format!("mkdir -p /srv/data; head -c {mebibytes}M /dev/urandom >/srv/data/big; sha256sum </srv/data/big");
    let (planted, hash) = fleet.inside(&old.id.to_string(), &plant);
    assert!(planted, "{hash}");
    let mut run = fleet.command(&["node", "rebuild", "acme"]).spawn().expect("started");
    let most = watch(&mut run, |_| false);
    assert!(run.wait().expect("ended").success());
    let new = serving(&Workbench::new(&fleet).await).await;
    assert_eq!(fleet.inside(&new.id.to_string(), "sha256sum </srv/data/big").1, hash);
    println!("{mebibytes} MiB, {most} KiB held at most");
    assert!(most < MOST, "{most} KiB were held in memory");
}
