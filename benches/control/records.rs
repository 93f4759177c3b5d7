//! Many records: lists, filters, and verifying the audit log; and what memory a server has meanwhile.

use std::time::{Duration, Instant};

use stead::audit::{self, Entry};
use stead::clock::{Clock, SystemClock};
use stead::store::{ManagedBy, Workspace, WorkspaceState};

use crate::server::{ROOT, Running};
use crate::stores::{self, Measured};

/// How many records are written in one transaction.
const BATCH: usize = 5000;

pub(crate) async fn measure(workspaces: usize, entries: usize) {
    println!("\n## {workspaces} workspaces and {entries} audit entries\n");
    println!("| | set limit | SQLite | PostgreSQL |");
    println!("| --- | --- | --- | --- |");
    let dir = tempfile::tempdir().unwrap();
    let stores = [Measured::sqlite(dir.path()).await, Measured::postgres(dir.path()).await];
    let mut rows: Vec<(String, &str, Vec<String>)> = Vec::new();
    for store in &stores {
        for (at, (what, limit, found)) in one(store, workspaces, entries).await.into_iter().enumerate() {
            if rows.len() <= at {
                rows.push((what, limit, Vec::new()));
            }
            rows[at].2.push(found);
        }
    }
    for (what, limit, found) in rows {
        println!("| {what} | {limit} | {} |", found.join(" | "));
    }
}

async fn one(measured: &Measured, workspaces: usize, entries: usize) -> Vec<(String, &'static str, String)> {
    let store = stores::open(&measured.place).await;
    let begun = Instant::now();
    let last = fill(&store, workspaces, entries).await;
    eprintln!("{}: filled in {:.0} s", measured.name, begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    audit::seal(&store).await.unwrap();
    let sealed = begun.elapsed();
    eprintln!("{}: sealed in {:.0} s", measured.name, sealed.as_secs_f64());
    let begun = Instant::now();
    let report = audit::verify(&store).await.unwrap();
    let verified = begun.elapsed();
    assert!(report.broken.is_none() && usize::try_from(report.verified).unwrap() >= entries, "{report:?}");
    store.close().await;
    let rate = |taken: Duration| format!("{:.0} entries/s", entries as f64 / taken.as_secs_f64());
    let server = Running::start("api", &measured.place);
    let asks = [
        ("the first page of workspaces", "/v1/workspaces?limit=200".to_owned(), "50 ms"),
        ("a page in the middle", format!("/v1/workspaces?limit=200&cursor={}", cursor(&last)), "50 ms"),
        ("those in a rare state", "/v1/workspaces?limit=200&state=degraded".to_owned(), "50 ms"),
        ("the one with a slug", "/v1/workspaces?slug=workspace-77777".to_owned(), "50 ms"),
        ("the latest page of the audit log", "/v1/audit?limit=200".to_owned(), "50 ms"),
        ("the entries of one target", format!("/v1/audit?limit=200&target={last}"), "50 ms"),
        ("the entries of an actor who did little", "/v1/audit?limit=200&actor=rare".to_owned(), "50 ms"),
    ];
    let mut found = vec![
        ("sealing".to_owned(), "none", rate(sealed)),
        ("verifying".to_owned(), "200000 entries/s", rate(verified)),
    ];
    for (what, path, limit) in asks {
        found.push((format!("{what}, slowest of 20"), limit, format!("{:.1} ms", slowest(&server, &path))));
    }
    found.push(("memory of the server".to_owned(), "100 MiB", format!("{} MiB", server.peak_mib())));
    found
}

/// Writes the records; the id of a workspace in the middle.
async fn fill(store: &stead::store::Store, workspaces: usize, entries: usize) -> String {
    let mut middle = String::new();
    for first in (0..workspaces).step_by(BATCH) {
        let write = store.write(move |tx| {
            Box::pin(async move {
                let mut last = String::new();
                for number in first..(first + BATCH).min(workspaces) {
                    let slug = format!("workspace-{number}");
                    let mut workspace = Workspace::new(slug, "starter", ManagedBy::Api, SystemClock.now());
                    workspace.state =
                        if number % 20_000 == 7 { WorkspaceState::Degraded } else { WorkspaceState::Ready };
                    tx.insert_workspace(&workspace).await?;
                    last = workspace.id.to_string();
                }
                Ok(last)
            })
        });
        let last = write.await.unwrap();
        if first < workspaces / 2 {
            middle = last;
        }
    }
    for first in (0..entries).step_by(BATCH) {
        let target = middle.clone();
        let write = store.write(move |tx| {
            Box::pin(async move {
                for number in first..(first + BATCH).min(entries) {
                    let actor = if number % 100_000 == 9 { "rare" } else { "token:tk_00000000000000000000000000" };
                    let target = if number % 50_000 == 3 { target.clone() } else { format!("ws_{number:026}") };
                    let entry = Entry::new(actor, "workspace.change", target).request("01a21bf0-2d16-758b-bc70");
                    entry.detail("tier", "starter").append(tx).await?;
                }
                Ok(())
            })
        });
        write.await.unwrap();
    }
    middle
}

fn cursor(id: &str) -> String {
    use base64::Engine;
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(id)
}

/// The slowest answer of some, in milliseconds.
fn slowest(server: &Running, path: &str) -> f64 {
    use std::io::{Read, Write};
    let ask = || {
        let begun = Instant::now();
        let mut stream = std::net::TcpStream::connect(&server.address).unwrap();
        let head =
            format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: Bearer {ROOT}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        begun.elapsed().as_secs_f64() * 1000.0
    };
    ask();
    (0..20).map(|_| ask()).fold(0.0, f64::max)
}
