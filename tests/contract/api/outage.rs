//! A database that goes away and comes back.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use stead::audit;
use stead::config::control::Http;
use stead::store::{Listed, WorkflowState};
use stead::workflow::{Engine, Flow, NoObserver, Registry, Step, StepCx, StepError, Worker};
use tokio_util::sync::CancellationToken;

use super::{Api, ROOT};
use crate::World;
use crate::postgres::{Database, Server};

/// Waits for the test, then writes to the store.
struct Write;

#[async_trait]
impl Step<AtomicBool> for Write {
    fn name(&self) -> &'static str {
        "write"
    }

    async fn run(&self, cx: &StepCx<'_, AtomicBool>) -> Result<Value, StepError> {
        while !cx.context().load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let key = cx.subject().to_owned();
        cx.store().write(move |tx| Box::pin(async move { tx.set_setting(&key, "written").await })).await?;
        Ok(Value::Null)
    }

    async fn undo(&self, _: &StepCx<'_, AtomicBool>) -> Result<(), StepError> {
        Err(stead::Error::failed("nothing is to be taken back for a database that was away").into())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_fail_closed_and_workflows_go_on_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let world = World::of(Database::in_own(Server::own(&dir.path().join("server")))).await;
    world.store.bind_fleet(&world.fleet).await.unwrap();
    let limits = super::MANY;
    let api = Api::over(world, Http::default(), limits).await;
    let token = api.token(json!({"name": "t", "role": "support"})).await;
    let id = api.workspace("acme").await;

    let go = Arc::new(AtomicBool::new(false));
    let registry = Registry::default().with(Flow { kind: "write", steps: vec![Box::new(Write)] });
    let store = api.world.store.clone();
    let engine = Engine::new(store.clone(), go.clone(), registry, Arc::new(NoObserver), "local:test");
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(engine.enqueue("write", format!("key-{n}"), &json!({}), None).await.unwrap());
    }
    let stop = CancellationToken::new();
    let worker = Worker::new(engine.with_cancellation(stop.clone()), "a", Vec::new(), 3);
    let worker = tokio::spawn(async move { worker.run().await });
    let running = |found: Vec<stead::store::WorkflowRecord>| {
        found.iter().filter(|workflow| workflow.state == WorkflowState::Running).count()
    };
    while running(store.read().await.unwrap().workflows(Listed::Live).await.unwrap()) < 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    api.world.server().stop();
    go.store(true, Ordering::SeqCst);
    for (token, request) in [
        (ROOT, format!("GET /v1/workspaces/{id}")),
        (token.as_str(), "GET /v1/nodes".into()),
        ("stead_nobody", "GET /v1/nodes".into()),
        (ROOT, format!("DELETE /v1/workspaces/{id}")),
    ] {
        let refused = api.ask(token, &request, "").await;
        assert_eq!((refused.status, refused.problem().as_str()), (503, "unavailable"), "{request}");
        assert!(refused.header("retry-after").is_some());
        assert!(!refused.body.contains("socket"), "causes are for operators: {}", refused.body);
    }
    assert_eq!(api.raw("GET /healthz", "").await.status, 200, "the program itself lives");
    assert_eq!(api.raw("GET /readyz", "").await.status, 503);
    // Longer than a step that failed is tried again: it is not taken back for that.
    tokio::time::sleep(Duration::from_secs(14)).await;
    api.world.server().start();

    for _ in 0..900 {
        let left = store.read().await.unwrap().workflows(Listed::Live).await.unwrap();
        if left.iter().all(|workflow| workflow.kind != "write") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut reader = store.read().await.unwrap();
    for (n, id) in ids.into_iter().enumerate() {
        assert_eq!(reader.workflow(id).await.unwrap().unwrap().state, WorkflowState::Succeeded);
        assert_eq!(reader.setting(&format!("key-{n}")).await.unwrap().as_deref(), Some("written"));
    }
    drop(reader);
    let shown = api.ask(ROOT, &format!("GET /v1/workspaces/{id}"), "").await;
    assert_eq!((shown.status, shown.json()["state"].as_str()), (200, Some("pending")), "nothing is half done");
    stop.cancel();
    worker.await.unwrap().unwrap();
    audit::seal(&store).await.unwrap();
    assert_eq!(audit::verify(&store).await.unwrap().broken, None);
}
