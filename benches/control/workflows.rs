//! A thousand workflows of `provision`'s shape, whose steps are done at once: what is left is the engine and the store.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::{Value, json};
use stead::store::{Listed, Store, WorkflowState};
use stead::workflow::{Engine, Flow, NoObserver, Registry, Step, StepCx, StepError, Worker};

use crate::stores::{self, Measured};

/// As the flow `provision` has them.
const STEPS: [&str; 9] = ["image", "node", "machine", "boot", "host-key", "identity", "secrets", "playbooks", "health"];
/// How many workflows a worker runs at once.
const AT_ONCE: usize = 8;

/// Done at once.
struct AtOnce(&'static str);

#[async_trait]
impl Step<()> for AtOnce {
    fn name(&self) -> &'static str {
        self.0
    }

    async fn run(&self, _: &StepCx<'_, ()>) -> Result<Value, StepError> {
        Ok(json!({"address": "10.83.0.2"}))
    }

    async fn undo(&self, _: &StepCx<'_, ()>) -> Result<(), StepError> {
        Ok(())
    }
}

fn engine(store: &Store) -> Engine<()> {
    let steps = STEPS.map(|name| Box::new(AtOnce(name)) as Box<dyn Step<()>>);
    let flow = Flow { kind: "provision", steps: steps.into_iter().collect() };
    Engine::new(store.clone(), Arc::new(()), Registry::default().with(flow), Arc::new(NoObserver), "bench")
}

/// A worker in a process of its own, until it is killed.
pub(crate) async fn work(place: &str) {
    let store = stores::open(place).await;
    println!("ready");
    Worker::new(engine(&store), "bench", Vec::new(), AT_ONCE).run().await.unwrap();
}

struct Running(Child);

impl Running {
    fn start(place: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["work", place])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        Self(child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub(crate) async fn measure(many: usize) {
    println!("\n## {many} workflows of {} steps that are done at once\n", STEPS.len());
    println!("| | workers | workflows/s | steps begun more than once |");
    println!("| --- | --- | --- | --- |");
    let dir = tempfile::tempdir().unwrap();
    let sqlite = Measured::sqlite(dir.path()).await;
    let postgres = Measured::postgres(dir.path()).await;
    // With SQLite one program serves and works.
    let store = stores::open(&sqlite.place).await;
    let begun = enqueue(&store, many).await;
    let worker = Worker::new(engine(&store), "bench", Vec::new(), AT_ONCE);
    let working = tokio::spawn(async move { worker.run().await });
    let taken = until_done(&store, begun).await;
    working.abort();
    report(&store, "SQLite", "1, in the process", many, taken).await;

    let store = stores::open(&postgres.place).await;
    let begun = enqueue(&store, many).await;
    let running: Vec<Running> = (0..4).map(|_| Running::start(&postgres.place)).collect();
    let taken = until_done(&store, begun).await;
    drop(running);
    report(&store, "PostgreSQL", "4", many, taken).await;

    let begun = enqueue(&store, many).await;
    let place = postgres.place.clone();
    let killing = tokio::spawn(async move {
        let mut running: Vec<Running> = (0..4).map(|_| Running::start(&place)).collect();
        for next in 0.. {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let at = next % running.len();
            // kill -9
            running[at] = Running::start(&place);
        }
    });
    let taken = until_done(&store, begun).await;
    killing.abort();
    report(&store, "PostgreSQL", "4, one killed every second", many, taken).await;
    store.close().await;
}

async fn enqueue(store: &Store, many: usize) -> Instant {
    let engine = engine(store);
    for _ in 0..many {
        let subject = stead::id::WorkspaceId::new().to_string();
        engine.enqueue("provision", subject, &json!({"slug": "workspace"}), None).await.unwrap();
    }
    Instant::now()
}

async fn until_done(store: &Store, begun: Instant) -> Duration {
    loop {
        let live = store.read().await.unwrap().workflows(Listed::Live).await.unwrap();
        if live.is_empty() {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < Duration::from_secs(300), "{} are left", live.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Every workflow has ended well, and every step's record says how often it was begun.
async fn report(store: &Store, name: &str, workers: &str, many: usize, taken: Duration) {
    let mut reader = store.read().await.unwrap();
    let (mut steps, mut again) = (HashMap::new(), 0);
    for workflow in reader.workflows(Listed::All).await.unwrap() {
        assert_eq!(workflow.state, WorkflowState::Succeeded);
        for step in reader.steps(workflow.id).await.unwrap() {
            *steps.entry(step.name).or_insert(0) += 1;
            again += u32::from(step.attempt > 1);
        }
    }
    assert!(steps.len() == STEPS.len() && steps.values().all(|count| count % many == 0), "{steps:?}");
    println!("| {name} | {workers} | {:.0} | {again} |", many as f64 / taken.as_secs_f64());
}
