//! One controller's session: frames in on stdin, frames out on stdout.

use std::io::{Read, Write};
use std::time::Duration;

use crate::node::exec::System;
use crate::node::lock::{self, Claim};
use crate::node::node_record::NodeRecord;
use crate::node::teller::Teller;
use crate::node::{Machine, Paths, apply, boot, facts, guard, handover, health, host_key, identity, secrets, wipe};
use crate::wire::message::{Hello, Reply, Request, Welcome};
use crate::wire::plan::ApplyOptions;
use crate::wire::{PROTOCOL, frame};
use crate::{Error, Result};

/// Speaks with a controller until it closes the stream.
///
/// # Errors
/// Fails where the stream breaks. Whatever else goes wrong is told to the controller.
pub fn serve(paths: &Paths, input: &mut impl Read, output: &mut impl Write) -> Result<()> {
    let Some(hello) = frame::read::<Hello>(input)? else { return Ok(()) };
    match greet(paths, &hello) {
        Ok(welcome) => frame::write(output, &welcome)?,
        Err(error) => return frame::write(output, &refused(&error)),
    }
    let session = Session { paths, hello };
    loop {
        let request = match frame::read::<Request>(input) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            // What follows a frame that cannot be read cannot be trusted either.
            Err(error) => return frame::write(output, &refused(&error)),
        };
        let reply = match session.answer(request, input, output) {
            Ok(reply) => reply,
            Err(error) => Reply::Failed { message: error.one_line(), hints: error.hints().to_vec() },
        };
        frame::write(output, &reply)?;
    }
}

fn refused(error: &Error) -> Reply {
    Reply::Refused { message: error.one_line(), hints: error.hints().to_vec() }
}

/// Checks that the controller means this node, and may speak for it.
fn greet(paths: &Paths, hello: &Hello) -> Result<Welcome> {
    if hello.protocol != PROTOCOL {
        return Err(Error::failed(format!(
            "the controller speaks protocol {}, this agent speaks {PROTOCOL}",
            hello.protocol
        ))
        .hint("a controller starts the agent that it was built with"));
    }
    let record = NodeRecord::read(paths)?;
    if (&record.fleet, &record.node) != (&hello.fleet, &hello.node) {
        return Err(Error::failed(format!(
            "this is the node {} of the fleet {}, not {} of {}",
            record.node, record.fleet, hello.node, hello.fleet
        ))
        .hint("its address may have been given to another machine: look at `stead status`"));
    }
    let fence = hello.fence.map(|fence| lock::raise_fence(paths, fence)).transpose()?;
    Ok(Welcome {
        protocol: PROTOCOL,
        version: crate::VERSION.to_owned(),
        arch: facts::arch().to_owned(),
        fence,
        boot_id: facts::boot_id(paths),
        taken_back: guard::taken_back(paths),
    })
}

struct Session<'a> {
    paths: &'a Paths,
    hello: Hello,
}

impl Session<'_> {
    fn answer(&self, request: Request, input: &mut impl Read, output: &mut impl Write) -> Result<Reply> {
        let paths = self.paths;
        match request {
            Request::Facts => Ok(Reply::Facts { facts: Box::new(facts::gather(paths)?) }),
            Request::WaitBoot { timeout } => boot::wait(paths, &System, Duration::from_secs(timeout)),
            Request::HostKeyPrepare => {
                let _claim = self.claim()?;
                Ok(Reply::HostKey { public: host_key::prepare(paths)? })
            }
            Request::HostKeyInstall { public } => {
                let _claim = self.claim()?;
                host_key::install(paths, &public).map(|()| Reply::Done)
            }
            Request::Identity => {
                let _claim = self.claim()?;
                Ok(Reply::Identity { recipient: identity::recipient(paths)? })
            }
            Request::IdentityPrepare => {
                let _claim = self.claim()?;
                Ok(Reply::Identity { recipient: identity::prepare(paths)? })
            }
            Request::IdentityInstall { recipient } => {
                let _claim = self.claim()?;
                identity::install(paths, &recipient).map(|()| Reply::Done)
            }
            Request::IdentityRetire { recipient } => {
                let _claim = self.claim()?;
                identity::retire(paths, &recipient).map(|()| Reply::Done)
            }
            Request::SecretPut { envelope } => {
                let _claim = self.claim()?;
                let (fingerprint, changed) = secrets::put(paths, &envelope)?;
                Ok(Reply::SecretStored { fingerprint, changed })
            }
            Request::SecretRemove { name } => {
                let _claim = self.claim()?;
                secrets::remove(paths, &name).map(|_| Reply::Done)
            }
            Request::Apply { plan, options } => {
                let _claim = if options.check { None } else { Some(self.claim()?) };
                // A session speaks with a running machine; an image's root is entered by `image-apply`.
                let options = ApplyOptions { image: false, ..options };
                apply_to(&Machine::new(paths.clone(), &options)?, &plan, &options, input, output)
            }
            Request::Confirm { id } => {
                let _claim = self.claim()?;
                guard::confirm(paths, &id).map(|()| Reply::Done)
            }
            Request::Reboot => {
                let _claim = self.claim()?;
                boot::reboot(&System).map(|()| Reply::Done)
            }
            Request::Health { port, path, timeout } => health::ask(port, &path, Duration::from_secs(timeout)),
            Request::WorkloadStop => {
                let _claim = self.claim()?;
                handover::stop(paths, &System).map(|()| Reply::Done)
            }
            Request::WorkloadStart => {
                let _claim = self.claim()?;
                handover::start(paths, &System).map(|()| Reply::Done)
            }
            Request::HandOver { ticket } => {
                let _claim = self.claim()?;
                Ok(Reply::Handed { sum: handover::send(paths, &ticket, output)? })
            }
            Request::TakeOver { ticket } => {
                let _claim = self.claim()?;
                Ok(Reply::Handed { sum: handover::receive(paths, &ticket, input)? })
            }
            Request::Wipe { outlived } => {
                let _claim = self.claim()?;
                wipe::wipe(paths, &System, outlived).map(|()| Reply::Done)
            }
        }
    }

    fn claim(&self) -> Result<Claim> {
        let fence = self.hello.fence.ok_or_else(|| {
            Error::failed("the session was opened to look only, and this would change the node")
                .hint("this is a fault of the controller's: please report it")
        })?;
        let name = format!("stead {} with fence {fence}, process {}", self.hello.version, std::process::id());
        Claim::take(self.paths, fence, &name)
    }
}

/// Applies a plan, tells its events, and asks for the content that it lacks.
pub(crate) fn apply_to(
    machine: &Machine,
    plan: &crate::wire::plan::Plan,
    options: &ApplyOptions,
    input: &mut impl Read,
    output: &mut impl Write,
) -> Result<Reply> {
    let mut teller = Teller::new(input, output);
    let applied = apply::apply(machine, plan, options, &mut teller);
    teller.flush()?;
    applied.map(|applied| Reply::Applied { applied })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::node::tasks::testing::Bench;

    /// What the agent answers, in order, as JSON.
    fn talk(bench: &Bench, frames: &[Value]) -> Vec<Value> {
        let record = json!({"fleet": "fl_testtest", "node": "nd_1", "mark": "m", "signer": "s"});
        std::fs::create_dir_all(bench.at("/etc/stead")).unwrap();
        std::fs::write(bench.at("/etc/stead/node.json"), record.to_string()).unwrap();
        let input: Vec<u8> = frames.iter().flat_map(|frame| frame::encode(frame).unwrap()).collect();
        let mut output = Vec::new();
        serve(&bench.machine.paths, &mut &input[..], &mut output).unwrap();
        let mut rest = &output[..];
        std::iter::from_fn(|| frame::read(&mut rest).unwrap()).collect()
    }

    fn hello(fence: u64) -> Value {
        json!({"protocol": PROTOCOL, "version": "t", "fleet": "fl_testtest", "node": "nd_1", "fence": fence})
    }

    #[test]
    fn a_session_answers_every_request_in_order() {
        let bench = Bench::new();
        let file = json!({"id": 1, "name": "n", "action": {"file": {"path": "/etc/a", "content": "x"}}});
        let plan = json!({"version": 1, "plays": [{"name": "p", "steps": [{"task": file}]}]});
        let apply = json!({"do": "apply", "plan": plan, "options": {}});
        let answers =
            talk(&bench, &[hello(3), json!({"do": "facts"}), apply, json!({"do": "secret_remove", "name": "../x"})]);
        assert_eq!(answers[0]["fence"], 3);
        assert_eq!(answers[1]["is"], "facts");
        assert_eq!((&answers[2]["is"], &answers[2]["events"][0]["status"]), (&json!("events"), &json!("changed")));
        assert_eq!(answers[3]["summary"]["changed"], 1);
        assert_eq!(answers[4]["is"], "failed");
        assert_eq!(bench.read("/etc/a"), "x");
    }

    #[test]
    fn the_wrong_controller_is_refused() {
        let bench = Bench::new();
        talk(&bench, &[hello(5)]);
        let mut cases = vec![hello(4); 3];
        cases[1] = hello(9);
        cases[1]["node"] = json!("nd_2");
        cases[2] = hello(9);
        cases[2]["protocol"] = json!(PROTOCOL + 1);
        for (case, word) in cases.iter().zip(["fence", "nd_2", "protocol"]) {
            let answers = talk(&bench, &[case.clone(), json!({"do": "wipe"})]);
            assert_eq!(answers.len(), 1);
            assert_eq!(answers[0]["is"], "refused");
            assert!(answers[0]["message"].as_str().unwrap().contains(word), "{}", answers[0]);
        }
    }

    #[test]
    fn who_only_looks_is_let_in_beside_a_higher_fence_and_changes_nothing() {
        let bench = Bench::new();
        talk(&bench, &[hello(5)]);
        let mut looking = hello(0);
        looking.as_object_mut().unwrap().remove("fence");
        let file = json!({"id": 1, "name": "n", "action": {"file": {"path": "/etc/a", "content": "x"}}});
        let plan = json!({"version": 1, "plays": [{"name": "p", "steps": [{"task": file}]}]});
        let apply = |check: bool| json!({"do": "apply", "plan": plan, "options": {"check": check}});
        let answers = talk(&bench, &[looking, apply(false), apply(true), json!({"do": "wipe"})]);
        let kinds: Vec<&Value> = answers[1..].iter().map(|answer| &answer["is"]).collect();
        assert_eq!(kinds, ["failed", "events", "applied", "failed"]);
        assert!(!bench.at("/etc/a").exists());
    }

    /// Writes so many frames, and then finds the connection cut.
    struct Cut(usize);

    impl Write for Cut {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.0 == 0 { Err(std::io::ErrorKind::BrokenPipe.into()) } else { Ok(bytes.len()) }
        }

        fn flush(&mut self) -> std::io::Result<()> {
            self.0 -= 1;
            Ok(())
        }
    }

    /// Two files that notify a handler, as one plan, after the greeting.
    fn input() -> Vec<u8> {
        let file = |id: u32| {
            let action = json!({"file": {"path": format!("/etc/f{id}"), "content": "x"}});
            json!({"task": {"id": id, "name": "n", "action": action, "notify": ["h"]}})
        };
        let handler = json!({"id": 9, "name": "h", "action": {"command": {"argv": ["handle"]}}});
        let plan = json!({"version": 1, "plays": [{"name": "p", "steps": [file(1), file(2)], "handlers": [handler]}]});
        let frames = [hello(1), json!({"do": "apply", "plan": plan, "options": {}})];
        frames.iter().flat_map(|frame| frame::encode(frame).unwrap()).collect()
    }

    #[test]
    fn a_connection_that_is_cut_between_any_two_frames_is_made_good_by_the_next_run() {
        let mut cuts = 0;
        for frames in 0.. {
            let bench = Bench::new();
            talk(&bench, &[]);
            let cut = serve_system(&bench, &mut &input()[..], &mut Cut(frames));
            let whole = |name: &str| std::fs::read_to_string(bench.at(name)).map_or(true, |text| text == "x");
            assert!(whole("/etc/f1") && whole("/etc/f2"));
            // Handlers are run on the bench's machine; what is remembered of them is the node's.
            serve_system(&bench, &mut &input()[..], &mut Cut(usize::MAX)).unwrap();
            assert_eq!((bench.read("/etc/f1"), bench.read("/etc/f2")), ("x".into(), "x".into()));
            let handled = bench.ran().iter().filter(|run| *run == "handle").count();
            assert!(handled >= 1 && !bench.at("/var/lib/stead/handlers.json").exists(), "cut after {frames}");
            if cut.is_ok() {
                break;
            }
            cuts += 1;
        }
        assert!(cuts >= 4, "the greeting, three changes: {cuts}");
    }

    #[test]
    fn what_is_cut_off_or_too_long_changes_nothing() {
        let input = input();
        for length in (0..input.len()).step_by(7).chain([input.len() - 1]) {
            let bench = Bench::new();
            talk(&bench, &[]);
            // Where the stream ends in the greeting, that is an error; later it is told in a frame.
            let _ = serve_system(&bench, &mut &input[..length], &mut Cut(usize::MAX));
            assert!(!bench.at("/etc/f1").exists() && bench.ran().is_empty(), "{length} of {} bytes", input.len());
        }
        let bench = Bench::new();
        let mut long = frame::encode(&hello(1)).unwrap();
        long.extend(u32::MAX.to_be_bytes());
        talk(&bench, &[]);
        let mut output = Vec::new();
        serve(&bench.machine.paths, &mut &long[..], &mut output).unwrap();
        let mut rest = &output[..];
        let _welcome: Value = frame::read(&mut rest).unwrap().unwrap();
        assert_eq!(frame::read::<Value>(&mut rest).unwrap().unwrap()["is"], "refused");
    }

    /// As [`serve`], with the bench's means to run programs: a plan is applied to it, not to this machine.
    fn serve_system(bench: &Bench, input: &mut &[u8], output: &mut Cut) -> Result<()> {
        let Some(hello) = frame::read::<Hello>(input)? else { return Ok(()) };
        frame::write(output, &greet(&bench.machine.paths, &hello)?)?;
        while let Some(request) = frame::read::<Request>(input)? {
            let Request::Apply { plan, options } = request else { panic!("{request:?}") };
            let reply = apply_to(&bench.machine, &plan, &options, input, output)?;
            frame::write(output, &reply)?;
        }
        Ok(())
    }

    #[test]
    fn a_frame_that_cannot_be_read_ends_the_session() {
        let answers = talk(&Bench::new(), &[hello(1), json!({"do": "dance"}), json!({"do": "facts"})]);
        assert_eq!(answers.len(), 2);
        assert_eq!(answers[1]["is"], "refused");
    }
}
