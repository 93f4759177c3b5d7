//! Crashes: a child of this test is killed, and what it acknowledged must be there; what it had begun is finished.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};
use stead::store::Store;
use stead::workflow::{Engine, Flow, NoObserver, Outcome, Registry, Step, StepCx, StepError};

use crate::{Kind, World, both, open_place};

both!(what_was_acknowledged_survives_a_kill, a_killed_workflow_is_finished_by_the_next_run,);

/// Names the store that a child works on; tests that are children do nothing without it.
const PLACE: &str = "STEAD_TEST_PLACE";
/// Names the folder that a child makes files in.
const FILES: &str = "STEAD_TEST_FILES";
const FAULT: &str = "STEAD_TEST_FAULT";

fn child(test: &str, world: &World, files: &Utf8Path, fault: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(PLACE, world.place().words())
        .env(FILES, files)
        .env(FAULT, fault)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn was_killed(status: ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(9)
}

async fn what_was_acknowledged_survives_a_kill(kind: Kind) {
    for run in 0..3 {
        let world = World::new(kind).await;
        let mut child = child("crash::child_that_writes", &world, &world.path("files"), "");
        let mut acknowledged = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            if let Some((_, n)) = line.unwrap().split_once("acknowledged ") {
                acknowledged = n.parse().unwrap();
            }
            if acknowledged == 20 * (run + 1) {
                child.kill().unwrap();
                break;
            }
        }
        assert!(was_killed(child.wait().unwrap()));
        assert!(acknowledged >= 20);
        let mut reader = world.open_again().await.read().await.unwrap();
        for n in 1..=acknowledged {
            assert_eq!(reader.setting(&format!("k{n}")).await.unwrap().as_deref(), Some("v"), "k{n}");
        }
    }
}

/// The child of the test above; by itself it does nothing.
#[tokio::test]
async fn child_that_writes() {
    let Ok(place) = std::env::var(PLACE) else { return };
    let store = open_place(&place).await;
    for n in 1.. {
        let write = store.write(move |tx| Box::pin(async move { tx.set_setting(&format!("k{n}"), "v").await }));
        write.await.unwrap();
        println!("acknowledged {n}");
    }
}

/// Makes a file whose name it finds again, as flows do with marks.
struct MakeFile(&'static str);

#[async_trait]
impl Step<Utf8PathBuf> for MakeFile {
    fn name(&self) -> &'static str {
        self.0
    }

    async fn run(&self, cx: &StepCx<'_, Utf8PathBuf>) -> Result<Value, StepError> {
        if self.0 == "three" && cx.params::<Value>()?["fail"] == json!(true) {
            return Err(stead::Error::failed("as asked").into());
        }
        std::fs::write(cx.context().join(self.0), "")?;
        Ok(Value::Null)
    }

    async fn undo(&self, cx: &StepCx<'_, Utf8PathBuf>) -> Result<(), StepError> {
        match std::fs::remove_file(cx.context().join(self.0)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

pub(crate) fn engine(store: Store, files: Utf8PathBuf) -> Engine<Utf8PathBuf> {
    let steps = ["one", "two", "three"].map(|name| Box::new(MakeFile(name)) as Box<dyn Step<Utf8PathBuf>>);
    let registry = Registry::default().with(Flow { kind: "files", steps: Vec::from(steps) });
    Engine::new(store, Arc::new(files), registry, Arc::new(NoObserver), "local:test")
}

/// The child of the test below; by itself it does nothing.
#[tokio::test]
async fn child_that_works() {
    let Ok(place) = std::env::var(PLACE) else { return };
    let engine = engine(open_place(&place).await, std::env::var(FILES).unwrap().into());
    let engine = engine.with_fault(Some(std::env::var(FAULT).unwrap().parse().unwrap()));
    engine.resume(1).await.unwrap();
}

async fn a_killed_workflow_is_finished_by_the_next_run(kind: Kind) {
    let points = |steps: &[&str], points: &[&str]| -> Vec<String> {
        steps.iter().flat_map(|step| points.iter().map(move |point| format!("files/{step}/{point}"))).collect()
    };
    let forward = points(&["one", "two", "three"], &["before", "after"]);
    let back = points(&["three", "two", "one"], &["undo-before", "undo-after"]);
    for (fault, fail) in forward.iter().map(|fault| (fault, false)).chain(back.iter().map(|fault| (fault, true))) {
        let world = World::new(kind).await;
        std::fs::create_dir(world.path("files")).unwrap();
        let engine = engine(world.store.clone(), world.path("files"));
        let id = engine.enqueue("files", "nd_1", &json!({"fail": fail}), None).await.unwrap();
        let mut child = child("crash::child_that_works", &world, &world.path("files"), fault);
        assert!(was_killed(child.wait().unwrap()), "{fault}");

        // At once, without waiting for the lease: its holder is seen to be dead.
        let ended = engine.resume(1).await.unwrap();
        let files = std::fs::read_dir(world.path("files")).unwrap().count();
        match (&ended[..], fail) {
            ([(ended, Ok(Outcome::Succeeded))], false) if *ended == id => assert_eq!(files, 3, "{fault}"),
            ([(ended, Ok(Outcome::Failed(_)))], true) if *ended == id => assert_eq!(files, 0, "{fault}"),
            other => panic!("{fault}: {other:?}"),
        }
    }
}
