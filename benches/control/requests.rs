//! Authorised `GET /v1/workspaces/{id}`, against a handler that answers at once.

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
    let mut all = Vec::new();
    let bare = Running::start("bare", &stores[0].place);
    all.push(("bare handler", bare, "x".to_owned(), "ws_x".to_owned()));
    for store in &stores {
        let (id, token) = fill(&store.place).await;
        all.push((store.name, Running::start("api", &store.place), token, id.to_string()));
    }
    let mut found = vec![Vec::new(); all.len()];
    for _ in 0..ROUNDS {
        for ((_, server, token, id), found) in all.iter().zip(&mut found) {
            found.push(load(&format!("http://{}/v1/workspaces/{id}", server.address), token));
        }
    }
    println!("| | requests/s | of the bare handler's | p99 | times the bare handler's | memory |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let median = |found: &[Found]| {
        let by = |key: fn(&Found) -> f64| {
            let mut values: Vec<f64> = found.iter().map(key).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Found { per_second: by(|found| found.per_second), p99_ms: by(|found| found.p99_ms) }
    };
    let limit = median(&found[0]);
    for ((name, server, ..), found) in all.iter().zip(&found) {
        let Found { per_second, p99_ms } = median(found);
        println!(
            "| {name} | {per_second:.0} | {:.2} | {p99_ms:.2} ms | {:.2} | {} MiB |",
            per_second / limit.per_second,
            p99_ms / limit.p99_ms,
            server.peak_mib()
        );
    }
}

/// A workspace with its node, and a token of the workspace's.
async fn fill(place: &str) -> (WorkspaceId, String) {
    let store = stores::open(place).await;
    let fleet = store.read().await.unwrap().fleet().await.unwrap().unwrap();
    let filled = store.write(move |tx| {
        Box::pin(async move {
            let now = SystemClock.now();
            let workspace = Workspace::new("workspace-1", "starter", ManagedBy::Api, now);
            tx.insert_workspace(&workspace).await?;
            tx.insert_node(&Node::new(&fleet, workspace.id, "local", "local", now)).await?;
            let new = NewToken {
                name: "bench".into(),
                role: Role::Owner,
                workspace: Some(workspace.id),
                scopes: Vec::new(),
                expires_at: None,
            };
            let (_, token) = issue(tx, new, &Principal::root()).await?;
            Ok((workspace.id, token.to_string()))
        })
    });
    let filled = filled.await.unwrap();
    store.close().await;
    filled
}

fn load(url: &str, token: &str) -> Found {
    let ran = Command::new("wrk")
        .args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{SECONDS}s"), "--latency"])
        .args(["-H", &format!("Authorization: Bearer {token}"), url])
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
