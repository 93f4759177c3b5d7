use base64::Engine;

use super::*;
use crate::ssh::{AgentBinary, NodeSession};
use crate::wire::message::{Hello, Reply, Request, Welcome};
use crate::wire::plan::{Status, TaskEvent};
use crate::wire::{PROTOCOL, frame};

fn hello() -> Hello {
    Hello { protocol: PROTOCOL, version: "0".into(), fleet: "fl_x".into(), node: "nd_x".into(), fence: Some(1) }
}

fn welcome() -> Vec<u8> {
    let arch = "amd64".into();
    let welcome = Welcome {
        protocol: PROTOCOL,
        version: "0".into(),
        arch,
        fence: Some(1),
        boot_id: "b".into(),
        taken_back: None,
    };
    frame::encode(&welcome).unwrap()
}

/// A program that says these frames, whatever it hears, and then does this.
fn agent(machine: &Machine, frames: &[Vec<u8>], then: &str) -> AgentBinary {
    let text = base64::engine::general_purpose::STANDARD.encode(frames.concat());
    let path = machine.dir.join("agent");
    std::fs::write(&path, format!("#!/bin/sh\ntest \"$1\" = session || exit 9\necho {text} | base64 -d\n{then}\n"))
        .unwrap();
    AgentBinary::read(&path, "amd64").unwrap()
}

async fn refused(machine: &Machine, frames: &[Vec<u8>], then: &str) -> String {
    let client = machine.log_in().await;
    let error = client.agent(&agent(machine, frames, then), hello()).await.map(|_| ()).unwrap_err();
    format!("{error:?}")
}

fn replies(replies: &[Reply]) -> Vec<Vec<u8>> {
    std::iter::once(welcome()).chain(replies.iter().map(|reply| frame::encode(reply).unwrap())).collect()
}

#[tokio::test]
async fn the_agent_is_brought_once_and_never_overwritten() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let machine = Machine::on();
    let client = machine.log_in().await;
    let frames =
        replies(&[Reply::Failed { message: "no such unit".into(), hints: vec!["define it".into()] }, Reply::Done]);
    let agent = agent(&machine, &frames, "cat >/dev/null");
    let mut session = client.agent(&agent, hello()).await.unwrap();
    assert_eq!(session.welcome().arch, "amd64");
    let error = session.request(Request::Facts, &mut |_| {}).await.unwrap_err();
    assert_eq!((error.to_string().as_str(), error.hints()), ("no such unit", &["define it".to_owned()][..]));
    assert!(matches!(session.request(Request::Facts, &mut |_| {}).await.unwrap(), Reply::Done), "the session goes on");
    session.close().await;

    let folder = machine.dir.join("var/lib/stead/agents").join(agent.sha256());
    let meta = std::fs::metadata(folder.join("stead-node")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o755);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing half-made is left");
    client.agent(&agent, hello()).await.unwrap().close().await;
    assert_eq!(std::fs::metadata(folder.join("stead-node")).unwrap().ino(), meta.ino());
}

fn event(task: u32) -> TaskEvent {
    TaskEvent {
        task,
        play: "base".into(),
        name: "a file".into(),
        kind: "file".into(),
        origin: String::new(),
        item: None,
        handler: false,
        status: Status::Ok,
        message: String::new(),
        hints: Vec::new(),
        diff: None,
        elapsed_ms: 1,
    }
}

#[tokio::test]
async fn events_come_in_order_before_the_closing_reply() {
    let machine = Machine::on();
    let event = |task| Reply::Events { events: vec![event(task)] };
    let agent = agent(&machine, &replies(&[event(1), event(2), Reply::Done]), "cat >/dev/null");
    let mut session = machine.log_in().await.agent(&agent, hello()).await.unwrap();
    let mut seen = Vec::new();
    session.request(Request::Facts, &mut |event| seen.push(event.task)).await.unwrap();
    assert_eq!(seen, [1, 2]);
}

#[tokio::test]
async fn a_refusal_comes_with_its_reason_and_hint() {
    let machine = Machine::on();
    let refusal =
        Reply::Refused { message: "fence 1 is lower than 7".into(), hints: vec!["another is at work".into()] };
    let error = refused(&machine, &[frame::encode(&refusal).unwrap()], "exit 1").await;
    assert!(error.contains("refuses the session: fence 1") && error.contains("hint: another is at work"), "{error}");
}

#[tokio::test]
async fn an_agent_that_does_not_start_leaves_its_last_words() {
    let machine = Machine::on();
    let error = refused(&machine, &[], "echo 'cannot run' >&2; exit 7").await;
    assert!(error.contains("status 7") && error.contains("cannot run"), "{error}");
    let error = refused(&machine, &[], "echo 'sudo: a password is required' >&2; exit 1").await;
    assert!(error.contains("hint: root needs sudo without a password"), "{error}");
    let error = refused(&machine, &[b"Welcome to Debian!".to_vec()], "cat >/dev/null").await;
    assert!(error.contains("Welc"), "{error}");
}

#[tokio::test]
async fn an_agent_that_dies_and_a_caller_that_gave_up_spend_the_session() {
    let machine = Machine::on();
    let dies = agent(&machine, &replies(&[]), "echo 'out of memory' >&2; kill -9 $$");
    let mut session = machine.log_in().await.agent(&dies, hello()).await.unwrap();
    let error = format!("{:?}", session.request(Request::Facts, &mut |_| {}).await.unwrap_err());
    assert!(error.contains("the signal") && error.contains("out of memory"), "{error}");

    let hangs = agent(&machine, &replies(&[]), "cat >/dev/null");
    let mut session: NodeSession = machine.log_in().await.agent(&hangs, hello()).await.unwrap();
    let most = Duration::from_millis(100);
    tokio::time::timeout(most, session.request(Request::Facts, &mut |_| {})).await.unwrap_err();
    let error = session.request(Request::Facts, &mut |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("in the middle of a request"), "{error}");
}
