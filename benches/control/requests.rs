//! Authorised `GET /v1/workspaces/{id}`, against a handler that answers at once.

use std::path::Path;
use std::process::Command;

use stead::accounts::{NewToken, Principal, issue};
use stead::clock::{Clock, SystemClock};
use stead::id::WorkspaceId;
use stead::store::{ManagedBy, Node, Role, Workspace};

use crate::server::Running;
use crate::stores::{self, Measured};

/// How often each is measured, one after the other.
const ROUNDS: usize = 3;
/// How long one measurement takes, in seconds, and over how many connections.
const SECONDS: u32 = 6;
const CONNECTIONS: u32 = 64;

/// How many workspaces are asked for, in turn.
const LOADS: [(&str, usize); 2] = [("one workspace", 1), ("1,000 in turn", 1000)];

/// What is asked.
struct Server {
    name: String,
    runs: Running,
    /// What stands before an id in what is asked for.
    under: &'static str,
    token: String,
}

/// What wrk (<https://github.com/wg/wrk>) found.
#[derive(Clone, Copy)]
struct Found {
    per_second: f64,
    p99_ms: f64,
}

pub(crate) async fn measure() {
    println!("\n## Authorised GET /v1/workspaces/{{id}}\n");
    let dir = tempfile::tempdir().unwrap();
    let stores = [Measured::sqlite(dir.path()).await, Measured::postgres(dir.path()).await];
    let ids: Vec<WorkspaceId> = (0..LOADS[1].1).map(|_| WorkspaceId::new()).collect();
    // The first is the limit. Those that are asked under `/v1` look at the token.
    let bare = Running::start("bare", &stores[0].place);
    let mut all = vec![Server { name: "bare handler".into(), runs: bare, under: "", token: String::new() }];
    for store in &stores {
        let token = fill(&store.place, &ids).await;
        for (name, what) in
            [(format!("bare handler, authorised by {}", store.name), "bare"), (store.name.into(), "api")]
        {
            let runs = Running::start(what, &store.place);
            all.push(Server { name, runs, under: "/v1/workspaces", token: token.clone() });
        }
    }
    println!("| asked for | | requests/s | of the bare handler's | p99 | times the bare handler's | memory |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (asked, many) in LOADS {
        let script = dir.path().join("ask.lua");
        let mut found = vec![Vec::new(); all.len()];
        for _ in 0..ROUNDS {
            for (server, found) in all.iter().zip(&mut found) {
                fs_err::write(&script, ask(server.under, &ids[..many])).unwrap();
                found.push(load(&format!("http://{}", server.runs.address), &server.token, &script));
            }
        }
        let limit = median(&found[0]);
        for (server, found) in all.iter().zip(&found) {
            let Found { per_second, p99_ms } = median(found);
            println!(
                "| {asked} | {} | {per_second:.0} | {:.2} | {p99_ms:.2} ms | {:.2} | {} MiB |",
                server.name,
                per_second / limit.per_second,
                p99_ms / limit.p99_ms,
                server.runs.peak_mib()
            );
        }
    }
}

fn median(found: &[Found]) -> Found {
    let by = |key: fn(&Found) -> f64| {
        let mut values: Vec<f64> = found.iter().map(key).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Found { per_second: by(|found| found.per_second), p99_ms: by(|found| found.p99_ms) }
}

/// Has wrk ask for one workspace after the other.
fn ask(under: &str, ids: &[WorkspaceId]) -> String {
    let paths: String = ids.iter().map(|id| format!("\"{under}/{id}\",\n")).collect();
    format!(
        "local paths, requests, at = {{\n{paths}}}, {{}}, 0
        init = function() for i, path in ipairs(paths) do requests[i] = wrk.format(\"GET\", path) end end
        request = function() at = at % #requests + 1; return requests[at] end"
    )
}

/// Workspaces with their nodes, and an operator's token.
async fn fill(place: &str, ids: &[WorkspaceId]) -> String {
    let store = stores::open(place).await;
    let fleet = store.read().await.unwrap().fleet().await.unwrap().unwrap();
    let ids = ids.to_vec();
    let filled = store.write(move |tx| {
        Box::pin(async move {
            let now = SystemClock.now();
            for (number, id) in ids.into_iter().enumerate() {
                let mut workspace = Workspace::new(format!("workspace-{number}"), "starter", ManagedBy::Api, now);
                workspace.id = id;
                tx.insert_workspace(&workspace).await?;
                tx.insert_node(&Node::new(&fleet, id, "local", "local", now)).await?;
            }
            let new = NewToken {
                name: "bench".into(),
                role: Role::Operator,
                workspace: None,
                scopes: Vec::new(),
                expires_at: None,
            };
            let (_, token) = issue(tx, new, &Principal::root()).await?;
            Ok(token.to_string())
        })
    });
    let filled = filled.await.unwrap();
    store.close().await;
    filled
}

fn load(url: &str, token: &str, script: &Path) -> Found {
    let ran = Command::new("wrk")
        .args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{SECONDS}s"), "--latency"])
        .args(["-H", &format!("Authorization: Bearer {token}"), "-s"])
        .arg(script)
        .arg(url)
        .output()
        .expect("wrk is installed: `apt install wrk`");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && !said.contains("Non-2xx"), "{said}");
    let after = |word: &str| said.lines().find_map(|line| line.trim().strip_prefix(word)).unwrap().trim().to_owned();
    let p99 = after("99%");
    let p99_ms = match (p99.strip_suffix("ms"), p99.strip_suffix("us")) {
        (Some(ms), _) => ms.parse().unwrap(),
        (_, Some(us)) => us.parse::<f64>().unwrap() / 1000.0,
        _ => p99.trim_end_matches('s').parse::<f64>().unwrap() * 1000.0,
    };
    Found { per_second: after("Requests/sec:").parse().unwrap(), p99_ms }
}
