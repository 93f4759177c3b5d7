//! The control plane: from a request to a healthy node and away again, whichever program dies on the way.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::collector::{Collector, Span};
use crate::crash::{DEPROVISION, PROVISION};
use crate::fleet::{TestFleet, files_with, text};
use crate::postgres::Database;

/// A program that is ended with the test.
pub(crate) struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    /// Starts it; returns with the document that it prints once it is ready.
    pub(crate) fn start(fleet: &TestFleet, arguments: &[&str], fault: Option<&str>) -> (Self, Value) {
        let mut command = fleet.command(&[&["--json"], arguments].concat());
        if let Some(fault) = fault {
            command.env("STEAD_FAULT", fault);
        }
        Self::of(&mut command)
    }

    /// As [`start`](Self::start), by a command of one's own.
    pub(crate) fn of(command: &mut std::process::Command) -> (Self, Value) {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("read");
        (Self(child), serde_json::from_str(&line).unwrap_or_else(|_| panic!("it is not ready: {command:?}")))
    }

    /// Tells it to stop, and waits until it has: it hands over, and sends what spans wait.
    fn stop(mut self) {
        let process = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).expect("it runs");
        assert!(self.0.wait().expect("waited").success());
    }

    /// Waits until it has died of its fault.
    pub(crate) fn dies(mut self, fault: &str) {
        let begun = Instant::now();
        loop {
            match self.0.try_wait().expect("waited") {
                Some(status) => return assert_eq!(status.signal(), Some(9), "{fault}"),
                None if begun.elapsed() > Duration::from_secs(120) => panic!("{fault} was not reached"),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

/// The API of a server.
pub(crate) struct Api {
    address: String,
    token: String,
}

impl Api {
    pub(crate) fn of(ready: &Value) -> Self {
        let token = fs_err::read_to_string(ready["token_file"].as_str().expect("a file")).expect("read");
        Self { address: ready["listen"].as_str().expect("an address").to_owned(), token: token.trim().to_owned() }
    }

    pub(crate) fn ask(&self, request: &str, body: &Value) -> (u16, Value) {
        let (status, answer) = self.ask_for_text(request, body);
        (status, serde_json::from_str(&answer).unwrap_or(Value::Null))
    }

    /// Waits until the program's figures have a line that begins so.
    fn counts(&self, line: &str) {
        let begun = Instant::now();
        loop {
            let (_, figures) = self.ask_for_text("GET /metrics", &Value::Null);
            if figures.lines().any(|found| found.starts_with(line)) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{line}: {figures}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn ask_for_text(&self, request: &str, body: &Value) -> (u16, String) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        write!(
            stream,
            "{request} HTTP/1.1\r\nhost: stead\r\nconnection: close\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        )
        .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let (head, body) = answer.split_once("\r\n\r\n").expect("HTTP");
        let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
        (status, body.to_owned())
    }

    /// Waits until the workflow that was begun has succeeded.
    pub(crate) fn succeeds(&self, begun: &Value) {
        let path = format!("GET /v1/workflows/{}", begun["workflow"]["id"].as_str().expect("an id"));
        let begun = Instant::now();
        loop {
            let (_, workflow) = self.ask(&path, &Value::Null);
            match workflow["state"].as_str() {
                Some("succeeded") => return,
                Some("failed" | "parked") => panic!("{workflow}"),
                _ => assert!(begun.elapsed() < Duration::from_secs(120), "{workflow}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the workspace is in this state.
    pub(crate) fn until(&self, id: &str, state: &str) -> Value {
        let begun = Instant::now();
        loop {
            let (_, workspace) = self.ask(&format!("GET /v1/workspaces/{id}"), &Value::Null);
            if workspace["state"] == state {
                return workspace;
            }
            let workflows = || self.ask(&format!("GET /v1/workflows?subject={id}"), &Value::Null).1;
            assert!(begun.elapsed() < Duration::from_secs(240), "{workspace} {}", workflows());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Makes a workspace through the API and ends it; `with_fault` starts what dies of a fault, and waits until it has.
fn comes_and_goes(api: impl Fn() -> Api, with_fault: impl Fn(&str), go_on: impl Fn() -> Vec<Program>) {
    let (status, begun) = api().ask("POST /v1/workspaces", &json!({"slug": "zeta", "tier": "starter"}));
    assert_eq!(status, 202, "{begun}");
    let id = begun["workspace"]["id"].as_str().expect("an id").to_owned();
    for step in PROVISION {
        for point in ["before", "after"] {
            with_fault(&format!("provision/{step}/{point}"));
        }
    }
    let running = go_on();
    let ready = api().until(&id, "ready");
    assert_eq!(ready["node"]["state"], "ready");
    running.into_iter().for_each(Program::stop);

    let (status, begun) = api().ask(&format!("DELETE /v1/workspaces/{id}"), &Value::Null);
    assert_eq!(status, 202, "{begun}");
    for step in DEPROVISION {
        for point in ["before", "after"] {
            with_fault(&format!("deprovision/{step}/{point}"));
        }
    }
    let running = go_on();
    api().until(&id, "gone");
    running.into_iter().for_each(Program::stop);
}

/// What many workers did for one request is one trace, from the request to what was asked of the node over SSH.
fn is_one_trace(collector: &Collector) {
    let is_told = |spans: &[Span]| spans.iter().any(|span| span.name == "node health");
    let spans = collector.until(is_told);
    let by_id =
        |id: &str| spans.iter().find(|span| span.id == id).unwrap_or_else(|| panic!("no span {id}: {spans:#?}"));
    let asked = spans.iter().find(|span| span.name == "node health").expect("told");
    let step = by_id(&asked.parent);
    let connected = spans.iter().find(|span| span.name == "ssh connect" && span.parent == step.id).expect("told");
    assert_eq!(connected.attribute("stead.outcome"), "done");
    let run = by_id(&step.parent);
    let request = by_id(&run.parent);
    let names = [&step.name, &run.name, &request.name].map(String::as_str);
    assert_eq!(names, ["step health", "workflow provision", "POST /v1/workspaces"]);
    let trace: Vec<_> = spans.iter().filter(|span| span.trace == request.trace).collect();
    let mut programs: Vec<_> = trace.iter().map(|span| span.attribute("service.instance.id")).collect();
    programs.sort_unstable();
    programs.dedup();
    assert!(programs.len() > 1, "{trace:#?}");
}

#[test]
fn node_comes_and_goes_through_the_api_while_workers_die() {
    let fleet = TestFleet::new(&[]);
    let database = Database::new();
    let url = database.url();
    fleet.ok(&["migrate", "--database", &url]);
    fleet.ok(&["store", "import", "--database", &url]);
    let collector = Collector::start();
    let settings = fleet.dir.with_file_name("control.toml");
    fs_err::write(&settings, format!("[telemetry]\notlp_endpoint = \"{}\"\n", collector.endpoint())).expect("written");
    let start = |command: &str, more: &[&str], fault: Option<&str>| {
        Program::start(&fleet, &[&[command, "--config", settings.as_str(), "--database", &url], more].concat(), fault)
    };
    let (serving, ready) = start("serve", &["--listen", "127.0.0.1:0"], None);
    let worker = |fault: Option<&str>| start("worker", &[], fault).0;
    comes_and_goes(|| Api::of(&ready), |fault| worker(Some(fault)).dies(fault), || vec![worker(None), worker(None)]);
    is_one_trace(&collector);
    drop(serving);
    assert_eq!(fleet.traces(), Vec::<String>::new());
    let embedded = fleet.run(&["status"]);
    assert!(text(&embedded).contains("was taken over"), "{}", text(&embedded));
}

#[test]
fn node_comes_and_goes_through_one_program_that_dies() {
    let fleet = TestFleet::new(&[]);
    let serve = |fault: Option<&str>| Program::start(&fleet, &["serve", "--listen", "127.0.0.1:0"], fault);
    let (mut program, ready) = serve(None);
    // Told to stop before it begins: the first fault is in the very first step.
    let (status, begun) = Api::of(&ready).ask("POST /v1/workspaces", &json!({"slug": "zeta", "tier": "none"}));
    assert_eq!((status, begun["type"].as_str()), (422, Some("/problems/invalid")));
    program.0.kill().expect("killed");
    program.0.wait().expect("ends");

    let (program, ready) = serve(Some("provision/image/before"));
    let (status, begun) = Api::of(&ready).ask("POST /v1/workspaces", &json!({"slug": "zeta", "tier": "starter"}));
    assert_eq!(status, 202, "{begun}");
    let id = begun["workspace"]["id"].as_str().expect("an id").to_owned();
    program.dies("provision/image/before");
    for fault in ["provision/machine/after", "provision/boot/before", "provision/health/after"] {
        serve(Some(fault)).0.dies(fault);
    }
    let (program, ready) = serve(Some("deprovision/machine/before"));
    Api::of(&ready).until(&id, "ready");
    Api::of(&ready).counts(r#"stead_ssh_connections_total{outcome="done"} "#);
    let (status, begun) = Api::of(&ready).ask(&format!("DELETE /v1/workspaces/{id}"), &Value::Null);
    assert_eq!(status, 202, "{begun}");
    program.dies("deprovision/machine/before");
    let (_program, ready) = serve(None);
    Api::of(&ready).until(&id, "gone");
    Api::of(&ready).counts(r#"stead_provider_calls_total{provider="local",operation="destroy",outcome="done"} "#);
    assert_eq!(fleet.traces(), Vec::<String>::new());
}

#[test]
fn node_holds_what_came_through_the_api_and_nobody_else_does() {
    const VALUE: &str = "sk-planted-through-the-api-5d2c";
    let fleet = TestFleet::new(&[]);
    let serve = |fault: Option<&str>| Program::start(&fleet, &["serve", "--listen", "127.0.0.1:0"], fault);
    let (program, ready) = serve(Some("deliver-secret/deliver/before"));
    let api = Api::of(&ready);
    let (_, begun) = api.ask("POST /v1/workspaces", &json!({"slug": "zeta", "tier": "starter"}));
    let id = begun["workspace"]["id"].as_str().expect("an id").to_owned();
    let node = api.until(&id, "ready")["node"]["id"].as_str().expect("an id").to_owned();
    let secret = format!("/v1/workspaces/{id}/secrets/OPENAI_API_KEY");
    let (status, given) = api.ask(&format!("PUT {secret}"), &json!({"value": VALUE}));
    assert_eq!(status, 202, "{given}");
    program.dies("deliver-secret/deliver/before");
    let (program, _) = serve(Some("deliver-secret/deliver/after"));
    program.dies("deliver-secret/deliver/after");

    let (_program, ready) = serve(None);
    let api = Api::of(&ready);
    let succeeds = |begun: &Value| api.succeeds(begun);
    let known = || api.ask(&format!("GET /v1/workspaces/{id}/secrets"), &Value::Null).1["items"].clone();
    // By bash itself: a node has no program that asks.
    let ask =
        r"exec 3<>/dev/tcp/127.0.0.1/8080; printf 'GET /health HTTP/1.1\r\nHost: a\r\n\r\n' >&3; timeout 5 cat <&3";
    let health = || fleet.inside(&node, ask).1;
    let on_node = || fleet.inside(&node, "test -e /etc/credstore.encrypted/OPENAI_API_KEY").0;
    succeeds(&given);
    let first = known();
    assert_eq!((&first[0]["state"], &first[0]["fingerprint"]), (&json!("delivered"), &given["secret"]["fingerprint"]));
    assert!(on_node());
    // The workload was started anew, and has it.
    let seen = health();
    assert!(seen.contains(first[0]["fingerprint"].as_str().expect("one")), "{seen}");
    assert_eq!(files_with(&fleet.dir, VALUE.as_bytes()), Vec::<camino::Utf8PathBuf>::new());

    let (status, removed) = api.ask(&format!("DELETE {secret}"), &Value::Null);
    assert_eq!(status, 202, "{removed}");
    // Given anew at once: whatever is done first, the newest word counts.
    let (_, again) = api.ask(&format!("PUT {secret}"), &json!({"value": "sk-planted-again-1a2b3c4d"}));
    succeeds(&removed);
    succeeds(&again);
    assert!(on_node());
    assert_eq!(known()[0]["version"], 3, "{}", known());
    let (_, removed) = api.ask(&format!("DELETE {secret}"), &Value::Null);
    succeeds(&removed);
    assert!(!on_node());
    assert_eq!(known(), json!([]));
    let seen = health();
    assert!(seen.contains("200 OK") && !seen.contains("OPENAI_API_KEY"), "{seen}");
    api.ask(&format!("DELETE /v1/workspaces/{id}"), &Value::Null);
    api.until(&id, "gone");
    assert_eq!(fleet.traces(), Vec::<String>::new());
}

/// Makes a workspace with a node, gives it a secret, and ends it, by `stead` run so.
fn by_command(run: impl Fn(&[&str], Option<&str>) -> (bool, String), secret: bool) {
    let ok = |arguments: &[&str], input: Option<&str>| {
        let (succeeded, said) = run(arguments, input);
        assert!(succeeded, "stead {}: {said}", arguments.join(" "));
        said
    };
    let made = ok(&["workspace", "create", "zeta", "--tier", "starter", "--name", "Zeta Ltd"], None);
    assert!(made.contains("zeta is ready 1") && made.contains("health"), "{made}");
    assert!(ok(&["workspace", "list"], None).contains("Zeta Ltd"));
    assert!(ok(&["node", "list"], None).contains("zeta"));
    let (again, said) = run(&["workspace", "create", "zeta", "--tier", "starter"], None);
    assert!(!again && said.contains("zeta"), "{said}");
    if secret {
        let given = ok(&["secret", "set", "zeta", "API_KEY"], Some("sk-through-the-command-77aa"));
        assert!(given.contains("zeta/API_KEY version 1 is on the node") && given.contains("…77aa"), "{given}");
        assert!(ok(&["secret", "list", "zeta"], None).contains("delivered"));
        assert!(ok(&["node", "rotate-identity", "zeta"], None).contains("zeta: secrets are sealed for age1"));
        assert!(ok(&["node", "rebuild", "zeta"], None).contains("has replaced nd_"));
        assert!(ok(&["secret", "rm", "zeta", "API_KEY"], None).contains("Removed zeta/API_KEY from the node"));
    }
    assert!(ok(&["workflow", "list", "--all"], None).contains("provision"));
    assert!(ok(&["workspace", "delete", "zeta", "--yes"], None).contains("zeta is gone"));
    assert!(!ok(&["workspace", "list"], None).contains("zeta"));
    assert!(ok(&["audit", "show", "--target", "zeta"], None).contains("workspace.create"));
}

/// Runs a command to its end; whether it succeeded, and what it said.
fn run_command(command: &mut std::process::Command, input: Option<&str>) -> (bool, String) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
    child.stdin.take().expect("piped").write_all(input.unwrap_or_default().as_bytes()).expect("written");
    let output = child.wait_with_output().expect("ends");
    (output.status.success(), text(&output))
}

#[test]
fn node_is_made_and_ended_by_whoever_is_logged_in() {
    let fleet = TestFleet::new(&[]);
    let (_program, ready) = Program::start(&fleet, &["serve", "--listen", "127.0.0.1:0"], None);
    let home = tempfile::tempdir().expect("a folder");
    let stead = |arguments: &[&str], input: Option<&str>| {
        run_command(fleet.command(arguments).env("XDG_CONFIG_HOME", home.path()), input)
    };
    let url = format!("http://{}", ready["listen"].as_str().expect("an address"));
    let (logged_in, said) =
        stead(&["login", &url, "--token-file", ready["token_file"].as_str().expect("a file")], None);
    assert!(logged_in, "{said}");
    by_command(stead, true);
    assert_eq!(fleet.traces(), Vec::<String>::new());
}

#[test]
fn node_of_a_workspace_that_no_file_declares_comes_and_goes_without_a_server() {
    let fleet = TestFleet::new(&[]);
    by_command(|arguments, input| run_command(&mut fleet.command(arguments), input), false);
    assert_eq!(fleet.traces(), Vec::<String>::new());
}
