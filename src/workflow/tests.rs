//! The engine on a flow that makes files.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::error::Context;
use crate::id::WorkflowId;
use crate::store::Placement;
use crate::store::{StepState, Store, WorkflowState};
use crate::{Error, audit};

/// A clock that tests move.
struct TestClock(Mutex<Timestamp>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

struct Shared {
    dir: Utf8PathBuf,
    /// What a step named here does instead of succeeding.
    trouble: Mutex<Vec<(&'static str, Trouble)>>,
    calls: Mutex<Vec<String>>,
    fences: Mutex<Vec<u64>>,
}

#[derive(Clone)]
enum Trouble {
    Once,
    Fatal,
    Panic,
    Hang,
    Undo,
    Cancel(CancellationToken),
    /// Fails once the run is cancelled, as a program does that is ended.
    FailCancelled(CancellationToken),
}

struct MakeFile {
    name: &'static str,
    commits: bool,
}

#[async_trait]
impl Step<Shared> for MakeFile {
    fn name(&self) -> &'static str {
        self.name
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(500)
    }

    fn retry(&self) -> Retry {
        Retry { attempts: 3, first_wait: Duration::from_millis(1), longest_wait: Duration::from_millis(2) }
    }

    fn commits(&self) -> bool {
        self.commits
    }

    async fn run(&self, cx: &StepCx<'_, Shared>) -> Result<Value, StepError> {
        let shared = cx.context();
        shared.calls.lock().unwrap().push(format!("run {}", self.name));
        shared.fences.lock().unwrap().push(cx.fence());
        let suffix = cx.params::<Value>()?["suffix"].as_str().unwrap_or_default().to_owned();
        let path = shared.dir.join(format!("{}{suffix}", self.name));
        std::fs::write(&path, cx.subject()).or_retry()?;
        cx.progress("half done");
        let trouble = {
            let mut all = shared.trouble.lock().unwrap();
            let at = all.iter().position(|(name, trouble)| *name == self.name && !matches!(trouble, Trouble::Undo));
            at.map(|at| if matches!(all[at].1, Trouble::Once) { all.remove(at).1 } else { all[at].1.clone() })
        };
        match trouble {
            Some(Trouble::Once) => Err(StepError::Retry(Error::failed("not yet"))),
            Some(Trouble::Fatal) => Err(Error::failed("broken").hint("mend it").into()),
            Some(Trouble::Panic) => panic!("as asked"),
            Some(Trouble::Hang) => std::future::pending().await,
            Some(Trouble::Cancel(token)) => {
                token.cancel();
                Ok(json!(path))
            }
            Some(Trouble::FailCancelled(token)) => {
                token.cancel();
                cx.cancelled().await;
                Err(Error::failed("killed").into())
            }
            Some(Trouble::Undo) | None => Ok(json!(path)),
        }
    }

    async fn undo(&self, cx: &StepCx<'_, Shared>) -> Result<(), StepError> {
        let shared = cx.context();
        shared.calls.lock().unwrap().push(format!("undo {}", self.name));
        if shared.trouble.lock().unwrap().iter().any(|(name, t)| *name == self.name && matches!(t, Trouble::Undo)) {
            return Err(Error::failed("stuck").into());
        }
        let suffix = cx.params::<Value>()?["suffix"].as_str().unwrap_or_default().to_owned();
        match std::fs::remove_file(shared.dir.join(format!("{}{suffix}", self.name))) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Reads what an earlier step gave.
struct Check;

#[async_trait]
impl Step<Shared> for Check {
    fn name(&self) -> &'static str {
        "check"
    }

    async fn run(&self, cx: &StepCx<'_, Shared>) -> Result<Value, StepError> {
        let path: Utf8PathBuf = cx.output("first")?;
        Ok(json!(std::fs::read_to_string(path)?))
    }

    async fn undo(&self, _: &StepCx<'_, Shared>) -> Result<(), StepError> {
        Ok(())
    }
}

fn flow(commits: bool) -> Flow<Shared> {
    let file = |name, commits| Box::new(MakeFile { name, commits }) as Box<dyn Step<Shared>>;
    Flow {
        kind: "files",
        steps: vec![file("first", false), Box::new(Check), file("second", commits), file("third", false)],
    }
}

struct World {
    _dir: tempfile::TempDir,
    store: Store,
    shared: Arc<Shared>,
    clock: Arc<TestClock>,
    events: Arc<Mutex<Vec<Event>>>,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap();
        let files = path.join("files");
        std::fs::create_dir(&files).unwrap();
        let clock = Arc::new(TestClock(Mutex::new(SystemClock.now())));
        let store = Store::open(&path.join(".stead"), clock.clone()).await.unwrap();
        let shared =
            Shared { dir: files, trouble: Mutex::default(), calls: Mutex::default(), fences: Mutex::default() };
        Self { _dir: dir, store, shared: Arc::new(shared), clock, events: Arc::default() }
    }

    fn engine(&self, flow: Flow<Shared>) -> Engine<Shared> {
        let events = self.events.clone();
        let observer = move |event: Event| events.lock().unwrap().push(event);
        let registry = Registry::default().with(flow);
        Engine::new(self.store.clone(), self.shared.clone(), registry, Arc::new(observer), "local:test")
    }

    async fn start(&self, flow: Flow<Shared>, trouble: Vec<(&'static str, Trouble)>) -> (WorkflowId, Engine<Shared>) {
        *self.shared.trouble.lock().unwrap() = trouble;
        let engine = self.engine(flow);
        (engine.enqueue("files", "nd_1", &json!({"suffix": ".txt"}), None).await.unwrap(), engine)
    }

    fn files(&self) -> Vec<String> {
        let mut files: Vec<_> = std::fs::read_dir(&self.shared.dir)
            .unwrap()
            .map(|f| f.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        files
    }

    fn calls(&self) -> String {
        std::mem::take(&mut *self.shared.calls.lock().unwrap()).join(", ")
    }

    async fn states(&self, id: WorkflowId) -> Vec<StepState> {
        self.store.read().await.unwrap().steps(id).await.unwrap().iter().map(|step| step.state).collect()
    }
}

#[tokio::test]
async fn every_step_twice_and_every_failure_leave_nothing() {
    let world = World::new().await;
    let clean = async || assert_eq!(world.files(), [""; 0]);
    test_helpers::exercise(|| flow(false), |flow| world.engine(flow), "nd_1", &json!({}), None, clean).await;
    assert_eq!(world.files(), ["first", "second", "third"]);
    assert_eq!(audit::verify(&world.store).await.unwrap().broken, None);
}

#[tokio::test]
async fn succeeds_and_tells_so() {
    let world = World::new().await;
    let (id, engine) = world.start(flow(false), vec![("second", Trouble::Once)]).await;
    assert_eq!(engine.enqueue("files", "nd_1", &json!({}), None).await.unwrap(), id, "one live workflow per subject");
    assert!(matches!(engine.run(id).await.unwrap(), Outcome::Succeeded));
    assert!(matches!(engine.run(id).await.unwrap(), Outcome::Succeeded), "not run again");
    assert_eq!(world.calls(), "run first, run second, run second, run third");
    let record = world.store.read().await.unwrap().workflow(id).await.unwrap().unwrap();
    assert_eq!((record.state, record.holder, record.lease_until), (WorkflowState::Succeeded, None, None));
    let steps = world.store.read().await.unwrap().steps(id).await.unwrap();
    assert_eq!(steps[1].output, Some(json!("nd_1")));
    assert_eq!((steps[2].attempt, &steps[2].error), (2, &None));
    let seen: Vec<_> = world.events.lock().unwrap().iter().map(|e| (e.step, e.position, e.state)).collect();
    assert!(seen.contains(&(Some("second"), 3, EventState::Retrying)), "{seen:?}");
    assert_eq!(seen.last(), Some(&(None, 0, EventState::Done)));
    assert_ne!(engine.enqueue("files", "nd_1", &json!({}), None).await.unwrap(), id, "over: a new one may begin");
    assert!(engine.enqueue("other", "nd_1", &json!({}), None).await.is_err());
}

#[tokio::test]
async fn a_failure_unwinds_in_reverse_with_the_failed_step_first() {
    for (trouble, says) in
        [(Trouble::Fatal, "broken"), (Trouble::Panic, "panicked"), (Trouble::Hang, "longer than 0.5 s")]
    {
        let world = World::new().await;
        let (id, engine) = world.start(flow(false), vec![("second", trouble)]).await;
        let Outcome::Failed(error) = engine.run(id).await.unwrap() else { panic!("did not fail") };
        assert!(error.one_line().contains(says), "{error:?}");
        assert_eq!(world.calls(), "run first, run second, undo second, undo first");
        assert_eq!(world.files(), [""; 0]);
        let Outcome::Failed(again) = engine.run(id).await.unwrap() else { panic!("forgot its failure") };
        assert_eq!((again.one_line(), again.hints()), (error.one_line(), error.hints()));
    }
}

#[tokio::test]
async fn an_undo_that_fails_parks_and_can_be_retried_or_abandoned() {
    let world = World::new().await;
    let trouble = vec![("third", Trouble::Fatal), ("second", Trouble::Undo)];
    let (id, engine) = world.start(flow(false), trouble).await;
    let Outcome::Parked(error) = engine.run(id).await.unwrap() else { panic!("was not parked") };
    assert!(error.one_line().contains("undoing the step second: stuck"), "{error:?}");
    assert!(error.hints().iter().any(|hint| hint.contains("broken")), "names the first failure: {error:?}");
    assert_eq!(engine.enqueue("files", "nd_1", &json!({}), None).await.unwrap(), id, "stands in the way");

    world.shared.trouble.lock().unwrap().clear();
    assert_eq!(engine.retry(id).await.unwrap(), id);
    world.calls();
    assert!(matches!(engine.run(id).await.unwrap(), Outcome::Failed(_)));
    assert_eq!(world.calls(), "undo second, undo first", "goes on where it stood");
    assert_eq!(world.files(), [""; 0]);
    assert!(engine.abandon(id).await.is_err(), "not parked");
    assert_ne!(engine.retry(id).await.unwrap(), id, "a failed one begins anew");
}

#[tokio::test]
async fn what_has_not_ended_is_turned_back_or_closed() {
    let world = World::new().await;
    let (id, engine) = world.start(flow(false), vec![("third", Trouble::Fatal), ("second", Trouble::Undo)]).await;
    assert!(matches!(engine.run(id).await.unwrap(), Outcome::Parked(_)));
    world.shared.trouble.lock().unwrap().clear();
    engine.turn_back(id, "not wanted any more").await.unwrap();
    assert!(matches!(engine.run(id).await.unwrap(), Outcome::Failed(_)), "a parked one too");
    assert!(engine.turn_back(id, "again").await.is_err() && engine.close(id, "again").await.is_err(), "it has ended");

    let newer = engine.enqueue("files", "nd_1", &json!({}), None).await.unwrap();
    world.calls();
    engine.close(newer, "something newer came").await.unwrap();
    let Outcome::Failed(error) = engine.run(newer).await.unwrap() else { panic!("was not closed") };
    assert_eq!((error.one_line().as_str(), world.calls().as_str()), ("something newer came", ""));
    assert_ne!(engine.enqueue("files", "nd_1", &json!({}), None).await.unwrap(), newer, "stands in nobody's way");
}

#[tokio::test]
async fn past_the_point_of_no_return_it_only_goes_forward() {
    let world = World::new().await;
    let (id, engine) = world.start(flow(true), vec![("third", Trouble::Fatal)]).await;
    assert!(matches!(engine.run(id).await.unwrap(), Outcome::Parked(_)));
    assert_eq!(world.files().len(), 3, "nothing was undone");
    world.shared.trouble.lock().unwrap().clear();
    engine.retry(id).await.unwrap();
    world.calls();
    assert!(matches!(engine.run(id).await.unwrap(), Outcome::Succeeded));
    assert_eq!(world.calls(), "run third");
}

#[tokio::test]
async fn a_cancelled_run_stops_between_steps_and_goes_on_later() {
    let world = World::new().await;
    let token = CancellationToken::new();
    let (id, engine) = world.start(flow(false), vec![("first", Trouble::Cancel(token.clone()))]).await;
    let engine = engine.with_cancellation(token);
    assert!(matches!(engine.run(id).await.unwrap(), Outcome::Interrupted));
    assert_eq!(world.calls(), "run first");
    assert_eq!(world.states(id).await, [StepState::Done]);
    let ran = world.engine(flow(false)).resume(2).await.unwrap();
    assert!(matches!(ran[..], [(ran, Ok(Outcome::Succeeded))] if ran == id), "{ran:?}");
    assert_eq!(world.calls(), "run second, run third");
}

#[tokio::test]
async fn a_step_that_fails_because_it_is_stopped_is_not_taken_back() {
    let world = World::new().await;
    let token = CancellationToken::new();
    let (id, engine) = world.start(flow(false), vec![("second", Trouble::FailCancelled(token.clone()))]).await;
    let outcome = engine.with_cancellation(token).run(id).await.unwrap();
    assert!(matches!(outcome, Outcome::Interrupted), "{outcome:?}");
    assert_eq!(world.calls(), "run first, run second");
    let record = world.store.read().await.unwrap().workflow(id).await.unwrap().unwrap();
    assert_eq!((record.state, record.holder), (WorkflowState::Queued, None));
    world.shared.trouble.lock().unwrap().clear();
    assert!(matches!(world.engine(flow(false)).run(id).await.unwrap(), Outcome::Succeeded));
    assert_eq!(world.calls(), "run second, run third");
}

#[tokio::test]
async fn a_lease_keeps_others_out_until_it_runs_out_and_its_holder_out_after() {
    let world = World::new().await;
    let (id, engine) = world.start(flow(false), vec![("second", Trouble::Hang)]).await;
    let first = tokio::spawn({
        let engine = engine.clone();
        async move { engine.run(id).await }
    });
    while !world.files().contains(&"second.txt".to_owned()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(matches!(engine.run(id).await.unwrap(), Outcome::Busy));
    assert!(engine.resume(1).await.unwrap().is_empty());

    // The holder was asleep for longer than its lease.
    *world.clock.0.lock().unwrap() += chrono::TimeDelta::seconds(31);
    world.shared.trouble.lock().unwrap().clear();
    assert!(matches!(engine.run(id).await.unwrap(), Outcome::Succeeded));
    let error = first.await.unwrap().context("first").unwrap_err();
    assert!(error.one_line().contains("taken over"), "{error:?}");
    assert_eq!(world.states(id).await, [StepState::Done; 4], "the old holder wrote nothing over");
    let fences = world.shared.fences.lock().unwrap().clone();
    assert!(fences.is_sorted() && fences.first() < fences.last(), "{fences:?}");
}

#[tokio::test]
async fn many_run_side_by_side() {
    let world = World::new().await;
    let engine = world.engine(flow(false));
    let mut ids = Vec::new();
    for n in 0..8 {
        ids.push(engine.enqueue("files", format!("nd_{n}"), &json!({"suffix": n.to_string()}), None).await.unwrap());
    }
    let ended = engine.run_all(ids.clone(), 4).await;
    assert_eq!(ended.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids);
    assert!(ended.iter().all(|(_, outcome)| matches!(outcome, Ok(Outcome::Succeeded))), "{ended:?}");
    assert_eq!(world.files().len(), 24);
}

#[tokio::test]
async fn a_run_that_itself_fails_gives_the_lease_back() {
    let world = World::new().await;
    let (id, engine) = world.start(flow(false), Vec::new()).await;
    let other = Flow { kind: "other", steps: Vec::new() };
    let error = world.engine(other).run(id).await.context("other").unwrap_err();
    assert!(error.one_line().contains("knows no workflow of the kind \"files\""), "{error:?}");
    assert!(matches!(engine.run(id).await.unwrap(), Outcome::Succeeded), "at once");
}

#[tokio::test]
async fn a_workflow_of_another_version_is_parked() {
    let world = World::new().await;
    let (id, engine) = world.start(flow(true), vec![("third", Trouble::Fatal)]).await;
    assert!(matches!(engine.run(id).await.unwrap(), Outcome::Parked(_)));
    engine.retry(id).await.unwrap();
    let mut newer = flow(false);
    newer.steps.swap(0, 2);
    let Outcome::Parked(error) = world.engine(newer).run(id).await.unwrap() else { panic!("was run") };
    assert!(error.hints()[0].contains("another version of stead"), "{error:?}");
}

#[tokio::test]
async fn a_workflow_is_recorded_with_what_it_is_about_or_not_at_all() {
    let world = World::new().await;
    let engine = world.engine(flow(false));
    let enqueuing = engine.clone();
    let taken_back = world.store.write(move |tx| {
        Box::pin(async move {
            enqueuing.enqueue_in(tx, "files", "nd_1", json!({}), None, Placement::default()).await?;
            Err::<(), _>(Error::failed("as asked"))
        })
    });
    taken_back.await.unwrap_err();
    assert!(engine.resume(1).await.unwrap().is_empty());
}
