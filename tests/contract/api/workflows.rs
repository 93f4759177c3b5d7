//! Workflows, watched and helped on.

use std::time::Duration;

use serde_json::Value;
use stead::store::WorkflowState;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{Api, ROOT};
use crate::{Kind, both};

both!(a_workflow_is_watched_to_its_end, what_is_parked_is_retried_or_given_up);

async fn a_workflow_is_watched_to_its_end(kind: Kind) {
    let api = Api::start(kind).await;
    let id = api.workspace("acme").await;
    let workflow = api.world.store.read().await.unwrap().live_workflow("provision", &id).await.unwrap().unwrap();
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    let request = format!(
        "GET /v1/workflows/{}/events HTTP/1.1\r\nhost: h\r\nconnection: close\r\nauthorization: Bearer {ROOT}\r\n\r\n",
        workflow.id
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut states = Vec::new();
    let read = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            let Some(data) = line.strip_prefix("data: ") else { continue };
            let view: Value = serde_json::from_str(data).unwrap();
            states.push(view["state"].as_str().unwrap().to_owned());
            if states.len() == 1 {
                api.engine.turn_back(workflow.id, "as asked").await.unwrap();
                api.engine.run(workflow.id).await.unwrap();
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), read).await.unwrap();
    assert_eq!((states.first().unwrap().as_str(), states.last().unwrap().as_str()), ("queued", "failed"));
    let shown = api.ask(ROOT, &format!("GET /v1/workflows/{}", workflow.id), "").await.json();
    assert_eq!((shown["over"].as_bool(), shown["error"].as_str()), (Some(true), Some("as asked")));
}

async fn what_is_parked_is_retried_or_given_up(kind: Kind) {
    let api = Api::start(kind).await;
    let id = api.workspace("acme").await;
    let mut workflow = api.world.store.read().await.unwrap().live_workflow("provision", &id).await.unwrap().unwrap();
    let path = format!("/v1/workflows/{}", workflow.id);
    let early = api.ask(ROOT, &format!("POST {path}/retry"), "").await;
    assert_eq!((early.status, early.problem().as_str()), (409, "conflict"), "{}", early.body);
    workflow.state = WorkflowState::Parked;
    workflow.error = Some("it stuck".into());
    api.world.store.write(move |tx| Box::pin(async move { tx.update_workflow(&workflow).await })).await.unwrap();
    assert_eq!(api.ask(ROOT, &format!("POST {path}/retry"), "").await.json()["state"], "queued");
    let support = api.token(serde_json::json!({"name": "s", "role": "support"})).await;
    assert_eq!(api.ask(&support, &format!("POST {path}/abandon"), "").await.problem(), "forbidden");
    let mut workflow = api.world.store.read().await.unwrap().live_workflow("provision", &id).await.unwrap().unwrap();
    workflow.state = WorkflowState::Parked;
    api.world.store.write(move |tx| Box::pin(async move { tx.update_workflow(&workflow).await })).await.unwrap();
    assert_eq!(api.ask(ROOT, &format!("POST {path}/abandon"), "").await.json()["state"], "failed");
}
