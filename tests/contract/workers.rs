//! Workers: many share the work, none does another's, and nothing is lost with one that dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use stead::audit;
use stead::store::{Ability, Listed, Placement, Store, WorkflowRecord, WorkflowState};
use stead::workflow::{Engine, Flow, NoObserver, Registry, Retry, Step, StepCx, StepError, Worker};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{Kind, World, both};

both!(
    many_workers_share_the_work_and_none_is_done_twice,
    a_flow_for_a_host_runs_on_that_host,
    a_flow_of_a_node_runs_where_the_node_is,
    flows_of_one_subject_never_run_side_by_side,
    what_is_begun_anew_is_for_the_same_host_and_only_the_last,
    what_a_node_says_with_nul_is_recorded,
    work_is_heard_of_at_once,
    a_worker_that_is_told_to_stop_hands_over,
    past_the_point_of_no_return_it_is_tried_again_later,
    a_lease_that_ran_out_is_taken_over_and_its_holder_is_refused,
);

/// What the steps have done, by name.
#[derive(Default)]
struct Done {
    count: AtomicU32,
    fail: AtomicU32,
}

/// Counts how often it ran; as a commit it fails as often as it is told to; `slow` takes until it is told to stop.
struct Count {
    name: &'static str,
    commits: bool,
}

#[async_trait]
impl Step<Done> for Count {
    fn name(&self) -> &'static str {
        self.name
    }

    fn commits(&self) -> bool {
        self.commits
    }

    fn retry(&self) -> Retry {
        Retry::NEVER
    }

    async fn run(&self, cx: &StepCx<'_, Done>) -> Result<Value, StepError> {
        if self.name == "slow" {
            cx.cancelled().await;
            return Err(stead::Error::failed("told to stop").into());
        }
        if self.name == "after"
            && cx.context().fail.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
        {
            return Err(stead::Error::failed("as asked").into());
        }
        cx.context().count.fetch_add(1, Ordering::SeqCst);
        Ok(Value::Null)
    }

    async fn undo(&self, _: &StepCx<'_, Done>) -> Result<(), StepError> {
        Ok(())
    }
}

fn engine(store: &Store, done: &Arc<Done>) -> Engine<Done> {
    let step = |name, commits| Box::new(Count { name, commits }) as Box<dyn Step<Done>>;
    let registry = Registry::default()
        .with(Flow { kind: "count", steps: vec![step("one", false), step("two", false)] })
        .with(Flow { kind: "wait", steps: vec![step("one", false), step("slow", false)] })
        .with(Flow { kind: "commit", steps: vec![step("commit", true), step("after", false)] });
    Engine::new(store.clone(), done.clone(), registry, Arc::new(NoObserver), "local:test")
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<stead::Result<()>>,
}

impl Running {
    fn start(engine: Engine<Done>, host: &str, abilities: Vec<Ability>) -> Self {
        let stop = CancellationToken::new();
        let worker = Worker::new(engine.with_cancellation(stop.clone()), host, abilities, 4);
        Self { stop, task: tokio::spawn(async move { worker.run().await }) }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// Waits until the workflows are as they should be.
async fn until(store: &Store, what: &str, so: impl Fn(&[WorkflowRecord]) -> bool) -> Vec<WorkflowRecord> {
    for _ in 0..600 {
        let found = store.read().await.unwrap().workflows(Listed::All).await.unwrap();
        if so(&found) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}: {:?}", store.read().await.unwrap().workflows(Listed::All).await);
}

fn all_succeeded(found: &[WorkflowRecord]) -> bool {
    found.iter().all(|workflow| workflow.state == WorkflowState::Succeeded)
}

async fn enqueue_at(engine: &Engine<Done>, subject: &'static str, placement: Placement) {
    let (store, engine) = (engine.store().clone(), engine.clone());
    let enqueued = store.write(move |tx| {
        Box::pin(async move { engine.enqueue_in(tx, "count", subject, json!({}), None, placement).await })
    });
    enqueued.await.unwrap();
}

async fn many_workers_share_the_work_and_none_is_done_twice(kind: Kind) {
    let world = World::new(kind).await;
    let done = Arc::new(Done::default());
    let enqueuing = engine(&world.store, &done);
    for n in 0..60 {
        enqueuing.enqueue("count", format!("nd_{n}"), &json!({}), None).await.unwrap();
    }
    let mut workers = Vec::new();
    for n in 0..3 {
        let store = world.open_again().await;
        workers.push(Running::start(engine(&store, &done), &format!("host-{n}"), Vec::new()));
    }
    until(&world.store, "all end", all_succeeded).await;
    assert_eq!(done.count.load(Ordering::SeqCst), 120);
    let mut reader = world.store.read().await.unwrap();
    for workflow in reader.workflows(Listed::All).await.unwrap() {
        let attempts: Vec<_> = reader.steps(workflow.id).await.unwrap().iter().map(|step| step.attempt).collect();
        assert_eq!(attempts, [1, 1]);
        assert_eq!((workflow.holder, workflow.lease_until), (None, None));
    }
    drop(reader);
    for worker in workers {
        worker.stop().await;
    }
    assert!(world.store.read().await.unwrap().workers().await.unwrap().is_empty(), "who leaves says so");
    // One of them has sealed the log, and only one at a time.
    for _ in 0..100 {
        if !audit::is_unsealed(&world.store).await.unwrap() {
            break;
        }
        audit::seal(&world.store).await.unwrap();
    }
    let report = audit::verify(&world.store).await.unwrap();
    assert_eq!((report.verified, report.broken), (120, None));
}

async fn a_flow_for_a_host_runs_on_that_host(kind: Kind) {
    let world = World::new(kind).await;
    let done = Arc::new(Done::default());
    let enqueuing = engine(&world.store, &done);
    let anywhere_local = Placement { needs: Some(Ability::Local), host: None };
    enqueue_at(&enqueuing, "nd_new", anywhere_local).await;
    enqueue_at(&enqueuing, "nd_a", Placement { needs: Some(Ability::Local), host: Some("a".into()) }).await;
    enqueue_at(&enqueuing, "nd_b", Placement { needs: Some(Ability::Local), host: Some("b".into()) }).await;
    // One that can make no nodes, and one on another host.
    let unable = Running::start(engine(&world.store, &done), "a", Vec::new());
    let b = Running::start(engine(&world.open_again().await, &done), "b", vec![Ability::Local]);
    let two_are_done = |found: &[WorkflowRecord]| {
        found.iter().filter(|workflow| workflow.state == WorkflowState::Succeeded).count() == 2
    };
    let found = until(&world.store, "b does its part", two_are_done).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let state = |found: &[WorkflowRecord], subject: &str| {
        found
            .iter()
            .find(|workflow| workflow.subject == subject)
            .map(|workflow| (workflow.state, workflow.host.clone()))
    };
    assert_eq!(state(&found, "nd_new"), Some((WorkflowState::Succeeded, Some("b".into()))), "it is bound to b now");
    let found = world.store.read().await.unwrap().workflows(Listed::All).await.unwrap();
    assert_eq!(state(&found, "nd_a"), Some((WorkflowState::Queued, Some("a".into()))), "it waits for a");
    let workers = world.store.read().await.unwrap().workers().await.unwrap();
    assert_eq!(workers.len(), 1, "two workers of one process are one: {workers:?}");
    let a = Running::start(engine(&world.open_again().await, &done), "a", vec![Ability::Local]);
    until(&world.store, "a does its part", all_succeeded).await;
    for worker in [unable, a, b] {
        worker.stop().await;
    }
}

async fn a_flow_of_a_node_runs_where_the_node_is(kind: Kind) {
    let world = World::new(kind).await;
    let done = Arc::new(Done::default());
    let enqueuing = engine(&world.store, &done);
    let (workspace, mut node) = world.with_node("acme").await;
    node.host = Some("b".into());
    world.store.write(move |tx| Box::pin(async move { tx.update_node(&node).await })).await.unwrap();
    // Enqueued when nobody knew where the node would be.
    let subject: &'static str = Box::leak(workspace.id.to_string().into_boxed_str());
    enqueue_at(&enqueuing, subject, Placement { needs: Some(Ability::Local), host: None }).await;
    let a = Running::start(engine(&world.store, &done), "a", vec![Ability::Local]);
    let placed = |found: &[WorkflowRecord]| found[0].host.is_some();
    let found = until(&world.store, "a finds out where it belongs", placed).await;
    assert_eq!((found[0].host.as_deref(), found[0].state), (Some("b"), WorkflowState::Queued));
    let b = Running::start(engine(&world.open_again().await, &done), "b", vec![Ability::Local]);
    until(&world.store, "b takes it", all_succeeded).await;
    a.stop().await;
    b.stop().await;
}

async fn flows_of_one_subject_never_run_side_by_side(kind: Kind) {
    let world = World::new(kind).await;
    let done = Arc::new(Done::default());
    let enqueuing = engine(&world.store, &done);
    // The older was parked while the newer ran, and is retried now.
    let older = enqueuing.enqueue("count", "nd_1", &json!({}), None).await.unwrap();
    let newer = enqueuing.enqueue("wait", "nd_1", &json!({}), None).await.unwrap();
    let held = world.store.write(move |tx| {
        Box::pin(async move {
            let until = tx.shared_now().await? + Duration::from_secs(2);
            tx.lease_workflow(newer, "another/machine/1/1", until).await
        })
    });
    held.await.unwrap();
    let workers: Vec<_> = (0..2).map(|_| Running::start(engine(&world.store, &done), "a", Vec::new())).collect();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(done.count.load(Ordering::SeqCst), 0, "it waits until nobody works on the other");
    let is_done = |found: &[WorkflowRecord]| {
        found.iter().any(|workflow| workflow.id == older && workflow.state == WorkflowState::Succeeded)
    };
    until(&world.store, "its turn comes", is_done).await;
    for worker in workers {
        worker.stop().await;
    }
}

async fn what_is_begun_anew_is_for_the_same_host_and_only_the_last(kind: Kind) {
    let world = World::new(kind).await;
    let done = Arc::new(Done::default());
    let enqueuing = engine(&world.store, &done);
    let there = Placement { needs: Some(Ability::Local), host: Some("b".into()) };
    enqueue_at(&enqueuing, "nd_1", there.clone()).await;
    let first = world.store.read().await.unwrap().live_workflow("count", "nd_1").await.unwrap().unwrap().id;
    enqueuing.abandon(first).await.unwrap();
    let second = enqueuing.retry(first).await.unwrap();
    let record = world.store.read().await.unwrap().workflow(second).await.unwrap().unwrap();
    assert_eq!((record.needs, record.host), (there.needs, there.host));
    assert_eq!(enqueuing.retry(first).await.unwrap(), second, "the same again finds what was made");
    let b = Running::start(engine(&world.store, &done), "b", vec![Ability::Local]);
    let ended = |found: &[WorkflowRecord]| found.iter().any(|workflow| workflow.state == WorkflowState::Succeeded);
    until(&world.store, "it ends", ended).await;
    b.stop().await;
    let error = enqueuing.retry(first).await.unwrap_err();
    assert!(error.to_string().contains("came after") && error.kind() == stead::Kind::Conflict, "{error}");
    assert!(enqueuing.abandon(second).await.unwrap_err().to_string().contains("has succeeded already"));
}

/// Fails, or gives, what no text in PostgreSQL may hold.
struct Nul;

#[async_trait]
impl Step<Done> for Nul {
    fn name(&self) -> &'static str {
        "nul"
    }

    fn retry(&self) -> Retry {
        Retry::NEVER
    }

    async fn run(&self, cx: &StepCx<'_, Done>) -> Result<Value, StepError> {
        match cx.subject() {
            "nd_fails" => Err(stead::Error::failed("the workload said \0").hint("a\0b").into()),
            _ => Ok(json!({"said\0": ["a\0b", 1]})),
        }
    }

    async fn undo(&self, _: &StepCx<'_, Done>) -> Result<(), StepError> {
        Ok(())
    }
}

async fn what_a_node_says_with_nul_is_recorded(kind: Kind) {
    let world = World::new(kind).await;
    let registry = Registry::default().with(Flow { kind: "nul", steps: vec![Box::new(Nul)] });
    let (done, observer) = (Arc::new(Done::default()), Arc::new(NoObserver));
    let engine = Engine::new(world.store.clone(), done, registry, observer, "local:test");
    let fails = engine.enqueue("nul", "nd_fails", &json!({}), None).await.unwrap();
    let gives = engine.enqueue("nul", "nd_gives", &json!({}), None).await.unwrap();
    engine.run(fails).await.unwrap();
    engine.run(gives).await.unwrap();
    let mut reader = world.store.read().await.unwrap();
    let failed = reader.workflow(fails).await.unwrap().unwrap();
    assert_eq!(
        (failed.state, failed.error.as_deref()),
        (WorkflowState::Failed, Some("the workload said \u{fffd}\nhint: a\u{fffd}b"))
    );
    assert_eq!(reader.steps(gives).await.unwrap()[0].output, Some(json!({"said\u{fffd}": ["a\u{fffd}b", 1]})));
}

async fn work_is_heard_of_at_once(kind: Kind) {
    let world = World::new(kind).await;
    let done = Arc::new(Done::default());
    // In PostgreSQL in another program; with SQLite there is but one.
    let enqueuing = match kind {
        Kind::Sqlite => engine(&world.store, &done),
        Kind::Postgres => engine(&world.open_again().await, &done),
    };
    let worker = Running::start(engine(&world.store, &done), "a", Vec::new());
    tokio::time::sleep(Duration::from_millis(300)).await;
    // Each would wait for half a second on average, if it was not heard of.
    let begun = std::time::Instant::now();
    for n in 0..10 {
        enqueuing.enqueue("count", format!("nd_{n}"), &json!({}), None).await.unwrap();
        let is_done = |found: &[WorkflowRecord]| found.len() == n + 1 && all_succeeded(found);
        until(&world.store, "it ends", is_done).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    worker.stop().await;
}

async fn a_worker_that_is_told_to_stop_hands_over(kind: Kind) {
    let world = World::new(kind).await;
    let done = Arc::new(Done::default());
    let enqueuing = engine(&world.store, &done);
    let id = enqueuing.enqueue("wait", "nd_1", &json!({}), None).await.unwrap();
    let worker = Running::start(engine(&world.store, &done), "a", Vec::new());
    until(&world.store, "it runs", |found| found[0].state == WorkflowState::Running).await;
    for _ in 0..100 {
        if world.store.read().await.unwrap().steps(id).await.unwrap().len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    worker.stop().await;
    let found = world.store.read().await.unwrap().workflow(id).await.unwrap().unwrap();
    assert_eq!((found.state, found.holder, found.error), (WorkflowState::Queued, None, None));
    assert_eq!(done.count.load(Ordering::SeqCst), 1, "the first step is done, and stays so");
}

async fn past_the_point_of_no_return_it_is_tried_again_later(kind: Kind) {
    let world = World::new(kind).await;
    let done = Arc::new(Done::default());
    done.fail.store(1, Ordering::SeqCst);
    let enqueuing = engine(&world.store, &done);
    enqueuing.enqueue("commit", "nd_1", &json!({}), None).await.unwrap();
    let worker = Running::start(engine(&world.store, &done).with_patience(), "a", Vec::new());
    let waits = |found: &[WorkflowRecord]| found[0].run_after.is_some();
    let found = until(&world.store, "it is postponed", waits).await;
    assert_eq!((found[0].state, &found[0].holder), (WorkflowState::Queued, &None));
    assert!(found[0].error.as_deref().unwrap().contains("as asked"));
    let wait = found[0].run_after.unwrap() - found[0].updated_at;
    assert!((4..=11).contains(&wait.num_seconds()), "{wait}");
    // Its time comes.
    match kind {
        Kind::Sqlite => world.meddle("UPDATE workflows SET run_after = '2020-01-01T00:00:00+00:00'").await,
        Kind::Postgres => world.meddle("UPDATE workflows SET run_after = '2020-01-01'").await,
    }
    until(&world.store, "it goes on", all_succeeded).await;
    worker.stop().await;
}

async fn a_lease_that_ran_out_is_taken_over_and_its_holder_is_refused(kind: Kind) {
    let world = World::new(kind).await;
    let done = Arc::new(Done::default());
    let enqueuing = engine(&world.store, &done);
    let id = enqueuing.enqueue("count", "nd_1", &json!({}), None).await.unwrap();
    // Held by a worker of another machine, which is never taken for dead.
    let held = world.store.write(move |tx| {
        Box::pin(async move {
            let until = tx.shared_now().await? + Duration::from_secs(2);
            tx.lease_workflow(id, "another/machine/1/1", until).await
        })
    });
    let fence = held.await.unwrap();
    let worker = Running::start(engine(&world.store, &done), "a", Vec::new());
    tokio::time::sleep(Duration::from_millis(500)).await;
    let found = world.store.read().await.unwrap().workflow(id).await.unwrap().unwrap();
    assert_eq!((found.state, found.fence), (WorkflowState::Queued, fence), "it is left to its holder");
    until(&world.store, "it is taken over", all_succeeded).await;
    worker.stop().await;
    let stale = WorkflowRecord { fence, state: WorkflowState::Failed, ..found };
    let written = world.store.write(move |tx| Box::pin(async move { tx.update_workflow(&stale).await }));
    assert!(!written.await.unwrap());
}
