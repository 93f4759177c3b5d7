//! The same cases against a fleet's store here, and through the control API: what they tell must not differ.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::Arc;

use camino::Utf8Path;
use stead::audit::{self, Entry};
use stead::clock::{Clock, Timestamp};
use stead::id::Mark;
use stead::store::{
    ManagedBy, Node, NodeState, StepRecord, StepState, Store, Suspender, WorkflowRecord, WorkflowState, Workspace,
    WorkspaceState,
};

use super::{CASES, Case};

/// A clock that stands still, so that cases can tell what time it was.
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        "2026-11-02T12:00:00Z".parse().unwrap()
    }
}

/// `stead serve`, until it is dropped.
pub(super) struct Server {
    child: Child,
    pub(super) url: String,
    token_file: String,
}

impl Server {
    /// Serves the fleet of a case.
    pub(super) fn start(case: &Case) -> Self {
        let mut child = case
            .stead()
            .args(["--json", "--quiet", "serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let document: serde_json::Value = serde_json::from_str(&line).unwrap();
        let url = format!("http://{}", document["listen"].as_str().unwrap());
        Self { child, url, token_file: document["token_file"].as_str().unwrap().to_owned() }
    }

    /// Logs the user of another case in.
    pub(super) fn log_in(&self, case: &Case) -> std::process::Output {
        case.stead().args(["login", &self.url, "--token-file", &self.token_file]).output().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ =
            rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

/// A workspace of the files', with a node on a machine that was brought, one of the API's that has none, and one that is suspended;
/// what was done to them.
async fn arrange(dir: &Utf8Path) {
    let store = Store::open(&dir.join(".stead"), Arc::new(Noon)).await.unwrap();
    let now = Noon.now();
    let fleet = "fl_0192f0c1".parse().unwrap();
    store.bind_fleet(&fleet).await.unwrap();
    let workspace = |id: &str, slug: &str, managed_by, state| Workspace {
        id: id.parse().unwrap(),
        state,
        ..Workspace::new(slug, "starter", managed_by, now)
    };
    let acme = workspace("ws_01m84v43fde65s242vgr39das0", "acme", ManagedBy::Files, WorkspaceState::Ready);
    let initech = workspace("ws_01m84v43fde65s242vgr39das1", "initech", ManagedBy::Api, WorkspaceState::Degraded);
    let mut globex = workspace("ws_01m84v43fde65s242vgr39das5", "globex", ManagedBy::Api, WorkspaceState::Suspended);
    globex.suspend(Suspender::Operator, Some("unpaid since May".into()), now);
    let id = "nd_01m84v43fde65s242vgr39das6".parse().unwrap();
    let (mark, state) = (Mark::new(&fleet, id), NodeState::Stopped);
    let idle = Node { id, mark, state, ..Node::new(&fleet, globex.id, "own", "ssh", now) };
    let id = "nd_01m84v43fde65s242vgr39das2".parse().unwrap();
    let node = Node {
        id,
        mark: Mark::new(&fleet, id),
        state: NodeState::Ready,
        addresses: vec!["192.0.2.7".parse().unwrap()],
        ssh_port: 2222,
        verified: true,
        host_key: Some("ssh-ed25519 AAAA".into()),
        playbook_digest: Some("d".repeat(64)),
        ..Node::new(&fleet, acme.id, "own", "ssh", now)
    };
    let workflow = |id: &str, kind: &str, state, error: Option<&str>| WorkflowRecord {
        id: id.parse().unwrap(),
        state,
        error: error.map(str::to_owned),
        ended_at: (state != WorkflowState::Parked).then_some(now),
        ..WorkflowRecord::new(kind, &acme.id.to_string(), serde_json::json!({}), now)
    };
    let done = workflow("wf_01m84v43fde65s242vgr39das3", "provision", WorkflowState::Succeeded, None);
    let parked = workflow(
        "wf_01m84v43fde65s242vgr39das4",
        "converge",
        WorkflowState::Parked,
        Some("the node does not answer\nhint: is it switched on?"),
    );
    let step = StepRecord {
        workflow_id: parked.id,
        position: 0,
        name: "start".into(),
        state: StepState::Failed,
        attempt: 3,
        output: None,
        error: Some("the node does not answer".into()),
        started_at: Some(now),
        ended_at: Some(now + std::time::Duration::from_millis(1500)),
    };
    let entry = Entry::new("operator:ann", "workspace.create", acme.id.to_string()).detail("slug", "acme");
    let written = store.write(move |tx| {
        Box::pin(async move {
            tx.insert_workspace(&acme).await?;
            tx.insert_workspace(&initech).await?;
            tx.insert_workspace(&globex).await?;
            for node in [&node, &idle] {
                tx.insert_node(node).await?;
            }
            for workflow in [&done, &parked] {
                tx.insert_workflow(workflow).await?;
            }
            assert!(tx.put_step(&step, parked.fence).await?);
            entry.append(tx).await
        })
    });
    written.await.unwrap();
    audit::seal(&store).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn what_is_told_does_not_depend_on_where_it_is_looked_for() {
    let mut count = 0;
    for entry in Utf8Path::new(CASES).join("modes").read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        let here = Case::new(&path).with_operator();
        arrange(&here.dir).await;
        here.run(|_| {});
        let server = Server::start(&here);
        // The same files, and no store.
        let mut there = Case::new(&path);
        // What goes to this machine in the clear is told to no proxy.
        there.env.push(("HTTP_PROXY", "http://127.0.0.1:9".into()));
        let output = server.log_in(&there);
        assert!(output.status.success(), "{output:?}");
        there.run(|_| {});
        assert!(!there.dir.join(".stead").exists(), "nothing of the fleet's is kept here");
        count += 1;
    }
    assert!(count >= 4, "the cases are found");
}

#[tokio::test]
async fn a_login_is_for_the_fleet_that_the_server_serves_and_for_nobody_else_to_read() {
    let served = Case::staged("remote.md").with_operator();
    arrange(&served.dir).await;
    let server = Server::start(&served);
    let user = Case::staged("remote.md");
    assert!(server.log_in(&user).status.success());
    user.run(|cases| {
        cases.insert_var("[URL]", server.url.clone()).unwrap();
    });
    let said = |output: std::process::Output| String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    // A folder of another fleet is that fleet's.
    let other = user.dir.join("other");
    std::fs::create_dir(&other).unwrap();
    let files = std::fs::read_to_string(user.dir.join("stead.yaml")).unwrap();
    std::fs::write(other.join("stead.yaml"), files.replace("fl_0192f0c1", "fl_0192f0c2")).unwrap();
    let list = || user.stead().args(["workspace", "list"]).current_dir(&other).output().unwrap();
    assert!(said(list()).contains("There are no workspaces"));
    // And none at all is whoever was logged in to last.
    std::fs::remove_dir_all(&other).unwrap();
    let nowhere = user.dir.parent().unwrap();
    let list = || user.stead().args(["workspace", "list"]).current_dir(nowhere).output().unwrap();
    assert!(said(list()).contains("initech"));

    let url = server.url.clone();
    drop(server);
    let told = said(list());
    assert!(told.contains(&format!("{url} does not answer")) && told.contains("is the server up"), "{told}");
    assert!(user.stead().arg("logout").output().unwrap().status.success());
    assert!(said(list()).contains("there is no stead.yaml here"));
}
