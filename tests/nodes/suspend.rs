//! A workspace that is suspended: its node stopped, with all that is on it kept, and not started by anything but its resuming.

use serde_json::Value;
use stead::provider::MachineState;
use stead::store::{Node, NodeState, Suspender, Workspace, WorkspaceState};
use stead::workflow::Outcome;
use stead::workflow::flows::suspend::Asked;
use stead::workflow::flows::{Params, rebuild, resume, suspend};
use stead::workflow::test_helpers::exercise;

use crate::crash::dies_at;
use crate::fleet::{TestFleet, text};
use crate::identity::workload;
use crate::workbench::Workbench;

const SUSPEND: [&str; 2] = ["mark", "stop"];
const RESUME: [&str; 6] = ["start", "secrets", "playbooks", "undeclared", "health", "lift"];

/// The workspace, its node, and whether the node's machine runs.
async fn seen(bench: &Workbench<'_>) -> (Workspace, Node, bool) {
    let workspace = bench.workspace("acme").await;
    let node = bench.store.read().await.expect("read").node_of(workspace.id).await.expect("read").expect("there");
    let machine = bench.platform().provider("local").expect("one").find(&node.mark).await.expect("asked");
    let runs = machine.expect("it is there, whether or not it runs").state == MachineState::Running;
    (workspace, node, runs)
}

async fn is_suspended(bench: &Workbench<'_>) {
    let (workspace, node, runs) = seen(bench).await;
    assert_eq!((workspace.state, node.state, runs), (WorkspaceState::Suspended, NodeState::Stopped, false));
    let suspension = workspace.suspension.expect("it says who");
    assert_eq!((suspension.by, suspension.reason.as_deref()), (Suspender::Operator, Some("unpaid since May")));
}

async fn serves(fleet: &TestFleet, bench: &Workbench<'_>) {
    let (workspace, node, runs) = seen(bench).await;
    assert_eq!((workspace.state, node.state, runs), (WorkspaceState::Ready, NodeState::Ready, true));
    assert_eq!(workspace.suspension, None);
    let secret = bench.store.read().await.expect("read").secret(workspace.id, "OPENAI_API_KEY").await.expect("read");
    let seen = workload(fleet, &node);
    assert!(seen.contains(&secret.expect("recorded").fingerprint), "{seen}");
    assert!(fleet.inside(&node.id.to_string(), "grep -q kept /srv/data/conversation").0, "nothing is lost");
}

/// A fleet that is up, with data on its node.
async fn up(fleet: &TestFleet) {
    fleet.ok(&["up"]);
    let bench = Workbench::new(fleet).await;
    let (_, node, _) = seen(&bench).await;
    let (planted, said) = fleet.inside(&node.id.to_string(), "mkdir -p /srv/data; echo kept >/srv/data/conversation");
    assert!(planted, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn node_is_suspended_and_resumed_twice_over_and_fails_everywhere() {
    let fleet = TestFleet::new(&["acme"]);
    up(&fleet).await;
    let bench = Workbench::new(&fleet).await;
    let workspace = bench.workspace("acme").await;
    let reason = Some("unpaid since May".to_owned());
    let asked = Asked { params: Params::of(&workspace, "test"), by: Suspender::Operator, reason };
    let params = serde_json::to_value(asked).expect("JSON");
    let (subject, revision) = (workspace.id.to_string(), workspace.revision_id);
    let engine = |flow| bench.engine(flow);
    exercise(suspend::flow, engine, &subject, &params, revision, async || serves(&fleet, &bench).await).await;
    is_suspended(&bench).await;
    exercise(resume::flow, engine, &subject, &params, revision, async || is_suspended(&bench).await).await;
    serves(&fleet, &bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_suspension_survives_a_kill_at_every_boundary() {
    let fleet = TestFleet::new(&["acme"]);
    up(&fleet).await;
    let bench = Workbench::new(&fleet).await;
    let suspend = ["workspace", "suspend", "acme", "--reason", "unpaid since May"];
    let resume = ["workspace", "resume", "acme"];
    for (command, kind, steps) in [(&suspend[..], "suspend", &SUSPEND[..]), (&resume, "resume", &RESUME)] {
        for step in steps {
            for point in ["before", "after"] {
                dies_at(&fleet, command, &format!("{kind}/{step}/{point}"));
            }
        }
        let workspace = fleet.json(command);
        let state = if kind == "suspend" { "suspended" } else { "ready" };
        assert_eq!(workspace["state"], state, "{workspace}");
        if kind == "suspend" { is_suspended(&bench).await } else { serves(&fleet, &bench).await }
    }
    let workflows = fleet.json(&["workflow", "list", "--all"]).to_string();
    for kind in ["\"suspend\"", "\"resume\""] {
        assert_eq!(workflows.matches(kind).count(), 1, "one, however often it died: {workflows}");
    }
    // What one command left, the opposite one does not trip over.
    dies_at(&fleet, &suspend, "suspend/stop/before");
    fleet.ok(&resume);
    serves(&fleet, &bench).await;
    fleet.ok(&suspend);
    dies_at(&fleet, &resume, "resume/health/after");
    fleet.ok(&suspend);
    is_suspended(&bench).await;
    fleet.ok(&resume);
    serves(&fleet, &bench).await;
    // One that was begun is finished by `up`, which then leaves the node alone.
    dies_at(&fleet, &suspend, "suspend/mark/before");
    assert_eq!(fleet.json(&["up"]), Value::Array(Vec::new()));
    is_suspended(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_that_is_suspended_is_not_started_by_a_rebuild_that_is_taken_back() {
    let fleet = TestFleet::new(&["acme"]);
    up(&fleet).await;
    let bench = Workbench::new(&fleet).await;
    dies_at(&fleet, &["node", "rebuild", "acme"], "rebuild/data/before");
    let workspace = bench.workspace("acme").await;
    let subject = workspace.id.to_string();
    let rebuild = bench.store.read().await.expect("read").live_workflow(rebuild::KIND, &subject).await.expect("read");
    let rebuild = rebuild.expect("it is not over").id;
    let refused = fleet.run(&["workspace", "suspend", "acme"]);
    assert!(text(&refused).contains("`stead node rebuild acme` goes on with it"), "{}", text(&refused));
    // As where a suspension waited for the rebuild, which was parked then: it holds nobody up.
    let reason = Some("unpaid since May".to_owned());
    let asked = Asked { params: Params::of(&workspace, "test"), by: Suspender::Operator, reason };
    let engine = bench.engine(suspend::flow());
    let id = engine.enqueue(suspend::KIND, &subject, &asked, workspace.revision_id).await.expect("enqueued");
    assert!(matches!(engine.run(id).await, Ok(Outcome::Succeeded)));
    is_suspended(&bench).await;
    let engine = bench.engine(rebuild::flow());
    engine.turn_back(rebuild, "as asked").await.expect("turned");
    let outcome = engine.run(rebuild).await;
    assert!(matches!(outcome, Ok(Outcome::Failed(_))), "{outcome:?}");
    is_suspended(&bench).await;
    assert_eq!(fleet.node_dirs().len(), 1, "the new node is gone");
    fleet.ok(&["workspace", "resume", "acme"]);
    serves(&fleet, &bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_of_a_suspended_workspace_is_left_alone() {
    let fleet = TestFleet::new(&["acme", "beta"]);
    up(&fleet).await;
    let bench = Workbench::new(&fleet).await;
    let (_, node, _) = seen(&bench).await;
    let bridge = || {
        let kept: Vec<_> = fleet.traces().into_iter().filter(|trace| !trace.contains(node.mark.as_str())).collect();
        kept.len()
    };
    fleet.ok(&["down", "beta", "--yes"]);
    let before = bridge();
    let suspended = fleet.ok(&["workspace", "suspend", "acme", "--reason", "unpaid since May"]);
    assert!(text(&suspended).contains("acme is suspended."), "{}", text(&suspended));
    is_suspended(&bench).await;
    let console = fs_err::read_to_string(fleet.node_dir().join("console.log")).expect("kept");
    assert!(console.contains("Stopped") && console.contains("Unmounted"), "it was shut down: {console}");
    assert!(bridge() > 0 && bridge() <= before, "the fleet's network stands");
    assert_eq!(fleet.run(&["node", "sweep"]).status.code(), Some(0), "it is no orphan");
    let told = |arguments: &[&str]| {
        let output = fleet.run(arguments);
        (output.status.code().expect("it ended"), text(&output))
    };
    let (code, status) = told(&["status"]);
    assert!(code == 0 && status.contains("Suspended: acme (unpaid since May)"), "{status}");
    assert!(!status.contains("Not running"), "{status}");
    for refused in [&["node", "rebuild", "acme"][..], &["node", "rotate-identity", "acme"], &["converge", "acme"]] {
        let (code, said) = told(refused);
        assert!(code == 2 && said.contains("is suspended: unpaid since May"), "{said}");
    }
    // Values wait in the vault, and the others come up.
    fleet.give("acme", "sk-planted-while-it-was-suspended");
    let (code, said) = told(&["up"]);
    assert!(code == 0 && said.contains("acme is suspended: unpaid since May") && said.contains("1 node is healthy"));
    let (code, said) = told(&["converge", "--check"]);
    assert!(code == 0 && said.contains("Left out, since they are suspended: acme"), "{said}");
    let (code, said) = told(&["secret", "rm", "acme", "OPENAI_API_KEY"]);
    assert!(code == 2 && said.contains("resumes it first"), "{said}");
    is_suspended(&bench).await;
    let resumed = fleet.ok(&["workspace", "resume", "acme"]);
    assert!(text(&resumed).contains("acme is ready 1"), "{}", text(&resumed));
    serves(&fleet, &bench).await;
    let (code, said) = told(&["workspace", "resume", "acme"]);
    assert!(code == 2 && said.contains("is not suspended"), "{said}");

    // A workload that does not become healthy: it stays suspended, and says why.
    fleet.ok(&["workspace", "suspend", "acme", "--reason", "unpaid since May"]);
    let main = fs_err::read_to_string(fleet.dir.join("stead.yaml")).expect("read");
    fs_err::write(fleet.dir.join("stead.yaml"), main.replace("port: 8080", "port: 8081")).expect("written");
    let (code, said) = told(&["workspace", "resume", "acme"]);
    assert!(code == 1 && said.contains("nothing answered on the node's port 8081"), "{said}");
    is_suspended(&bench).await;
    fs_err::write(fleet.dir.join("stead.yaml"), main).expect("written");

    // It goes as any other, and its suspension with it.
    fleet.ok(&["down", "--yes"]);
    assert_eq!(fleet.traces(), Vec::<String>::new());
    assert_eq!(bench.workspace("acme").await.suspension, None);
}
