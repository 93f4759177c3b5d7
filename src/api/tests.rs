//! The API over a real loopback socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8Path;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::views::{List, WorkspaceView};
use super::{Problem, TokenHash, router, serve};
use crate::clock::{Clock, SystemClock};
use crate::id::FleetId;
use crate::store::{ManagedBy, Node, Store, Workspace};

struct Api {
    address: SocketAddr,
    shutdown: CancellationToken,
    server: tokio::task::JoinHandle<crate::Result<()>>,
    store: Store,
    _dir: tempfile::TempDir,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn problem(&self) -> Problem {
        assert!(self.head.contains("content-type: application/problem+json"), "{}", self.head);
        let problem: Problem = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem.status, self.status);
        problem
    }
}

impl Api {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(Utf8Path::from_path(dir.path()).unwrap(), Arc::new(SystemClock)).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
        let router = router(store.clone(), TokenHash::of(b"right"));
        let server = tokio::spawn(serve(listener, router, shutdown.clone()));
        Self { address, shutdown, server, store, _dir: dir }
    }

    async fn ask(&self, request: &str, headers: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let text = format!("{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }
}

const TOKEN: &str = "authorization: Bearer right\r\n";

#[tokio::test]
async fn health_is_open_and_the_rest_wants_the_token() {
    let api = Api::start().await;
    let health = api.ask("GET /healthz", "").await;
    let body: Value = serde_json::from_str(&health.body).unwrap();
    assert_eq!((health.status, body["status"].as_str()), (200, Some("ok")));

    for path in ["/v1/workspaces", "/v1/nodes", "/v1/nothing"] {
        let none = api.ask(&format!("GET {path}"), "").await;
        assert_eq!(none.status, 401, "{path}");
        assert!(none.head.contains("www-authenticate: bearer"), "{}", none.head);
        assert_eq!(none.problem().hints.len(), 1);
        for wrong in ["Bearer wrong", "Bearer right2", "Bearer ", "Basic right", "Bearerright"] {
            let answer = api.ask(&format!("GET {path}"), &format!("authorization: {wrong}\r\n")).await;
            assert_eq!(answer.status, 401, "{path} {wrong}");
        }
    }
    assert_eq!(api.ask("GET /v1/nodes", "authorization: bearer  right\r\n").await.status, 200);
}

#[tokio::test]
async fn workspaces_come_with_their_nodes() {
    let api = Api::start().await;
    let now = SystemClock.now();
    let acme = Workspace::new("acme", "starter", ManagedBy::Files, now);
    let beta = Workspace::new("beta", "starter", ManagedBy::Api, now);
    let node = Node::new(&FleetId::mint(), acme.id, "local", "local", now);
    let id = node.id;
    let written = api.store.write(move |tx| {
        Box::pin(async move {
            tx.insert_workspace(&acme).await?;
            tx.insert_workspace(&beta).await?;
            tx.insert_node(&node).await
        })
    });
    written.await.unwrap();
    let answer = api.ask("GET /v1/workspaces", TOKEN).await;
    assert_eq!(answer.status, 200);
    let list: List<WorkspaceView> = serde_json::from_str(&answer.body).unwrap();
    let seen: Vec<_> = list.items.iter().map(|w| (w.slug.as_str(), w.node.as_ref().map(|n| n.id))).collect();
    assert_eq!(seen, [("acme", Some(id)), ("beta", None)]);
    assert_eq!(list.items[0].node.as_ref().unwrap().state, "creating");
}

#[tokio::test]
async fn errors_are_problem_details_with_a_request_id() {
    let api = Api::start().await;
    let missing = api.ask("GET /nothing", "x-request-id: mine-1\r\n").await;
    assert_eq!((missing.status, missing.problem().detail.as_str()), (404, "there is nothing at /nothing"));
    assert!(missing.head.contains("x-request-id: mine-1"), "{}", missing.head);
    let missing = api.ask("GET /v1/nothing", TOKEN).await;
    assert_eq!((missing.status, missing.problem().title.as_str()), (404, "Not Found"));

    for path in ["/healthz", "/v1/nodes"] {
        let wrong = api.ask(&format!("DELETE {path}"), TOKEN).await;
        assert_eq!(wrong.status, 405);
        wrong.problem();
        assert!(wrong.head.contains("allow: get"), "{}", wrong.head);
    }
    let long = api.ask("GET /healthz", "x-request-id: a b\r\ncontent-length: 99999999\r\n").await;
    assert_eq!(long.status, 413);
    long.problem();
    assert!(!long.head.contains("a b"), "an id that is no plain word is replaced");
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_told_without_its_causes() {
    let api = Api::start().await;
    api.store.write(|tx| Box::pin(async move { tx.set_setting("fleet", "not a fleet's id").await })).await.unwrap();
    let health = api.ask("GET /healthz", "").await;
    assert_eq!((health.status, health.problem().detail.as_str()), (503, "the store cannot be read"));
}

#[tokio::test]
async fn it_stops_when_told() {
    let api = Api::start().await;
    api.ask("GET /healthz", "").await;
    api.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), api.server).await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(api.address).await.is_err());
}
