//! What the real programs tell those who watch: traces that go from a request into its workflow, whichever program runs it, and
//! figures.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::collector::{Collector, Span};
use crate::postgres::Database;

/// The trace of whoever asks.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A fleet whose nodes cannot be made: no image was promoted. So a workflow ends at its first step, as anybody.
const FLEET: &str = "
fleet: {name: test, id: fl_0192f0c1}
providers: {local: {kind: local}}
tiers:
  starter:
    provider: local
    size: {vcpus: 1, memory: 1GiB, disk: 10GiB}
    image: agent-node:stable
    playbooks: [bootstrap]
workspaces: {}
";

/// A fleet's folder, and how its programs are told where traces go.
struct Fleet {
    dir: tempfile::TempDir,
    endpoint: String,
}

impl Fleet {
    fn new(endpoint: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("stead.yaml"), FLEET).unwrap();
        Self { dir, endpoint: endpoint.to_owned() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stead"));
        command
            .arg("--fleet")
            .arg(self.dir.path())
            .args(arguments)
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("STEAD_TELEMETRY_OTLP_ENDPOINT", &self.endpoint)
            // Loopback is no proxy's.
            .env("http_proxy", "http://127.0.0.1:9")
            .env("STEAD_WORKER_LOCAL", "true")
            .env("STEAD_WORKER_HOST", "here")
            .stdin(Stdio::null());
        command
    }

    fn ok(&self, arguments: &[&str]) {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts a program; returns with the document that it prints once it is ready. Its log is written to a file.
    fn start(&self, arguments: &[&str]) -> (Program, Value) {
        Program::start(self.command(&[&["--json"], arguments].concat()), self.path(&format!("{}.log", arguments[0])))
    }
}

fn said(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
}

/// A program that is ended with the test.
struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    fn start(mut command: Command, log: PathBuf) -> (Self, Value) {
        let stderr = std::fs::File::create(&log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|_| panic!("it is not ready: {}", said(&log)));
        (Self { child, log }, ready)
    }

    /// Tells it to stop, and waits until it has; what it has logged, and how long that took.
    fn stop(mut self) -> (String, Duration) {
        let begun = Instant::now();
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success(), "{}", said(&self.log));
        (said(&self.log), begun.elapsed())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The control API of a server.
struct Api {
    address: String,
    token: String,
}

impl Api {
    fn of(ready: &Value) -> Self {
        let token = std::fs::read_to_string(ready["token_file"].as_str().unwrap()).unwrap();
        Self { address: ready["listen"].as_str().unwrap().to_owned(), token: token.trim().to_owned() }
    }

    fn ask(&self, request: &str, headers: &str, body: &Value) -> (u16, String) {
        let headers = format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n{headers}", self.token);
        ask(&self.address, request, &headers, &if body.is_null() { String::new() } else { body.to_string() })
    }

    /// Makes a workspace, and waits until its workflow has failed; the workflow.
    fn fails(&self, slug: &str, headers: &str) -> Value {
        let body = json!({"slug": slug, "tier": "starter"});
        let (status, begun) = self.ask("POST /v1/workspaces", headers, &body);
        assert_eq!(status, 202, "{begun}");
        let begun: Value = serde_json::from_str(&begun).unwrap();
        self.until_failed(&begun["workflow"])
    }

    /// Begins a failed workflow anew, and waits until it has failed again.
    fn fails_again(&self, id: &str) {
        let (status, begun) = self.ask(&format!("POST /v1/workflows/{id}/retry"), "", &Value::Null);
        assert_eq!(status, 200, "{begun}");
        self.until_failed(&serde_json::from_str(&begun).unwrap());
    }

    fn until_failed(&self, workflow: &Value) -> Value {
        let path = format!("GET /v1/workflows/{}", workflow["id"].as_str().unwrap());
        for _ in 0..600 {
            let workflow: Value = serde_json::from_str(&self.ask(&path, "", &Value::Null).1).unwrap();
            if workflow["state"] == "failed" {
                return workflow;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{workflow} goes on")
    }
}

fn ask(address: &str, request: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "{request} HTTP/1.1\r\nhost: stead\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The only span of this name in the caller's trace.
fn only<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name && span.trace == TRACE).collect();
    assert_eq!(found.len(), 1, "{name}: {spans:#?}");
    found[0]
}

/// The request's span is the caller's child, the workflow's run the request's, and the steps the run's.
fn check_trace(spans: &[Span], workflow: &Value, runs_it: &str) {
    let request = only(spans, "POST /v1/workspaces");
    assert_eq!(request.parent, CALLER);
    assert_eq!(request.attribute("service.name"), "stead-serve");
    assert_eq!(request.attribute("http.response.status_code"), "202");
    assert_eq!(request.attribute("stead.request.id"), "req-1");
    let run = only(spans, "workflow provision");
    assert_eq!(run.parent, request.id);
    assert_eq!((run.attribute("service.name"), run.attribute("host.name")), (runs_it, "here"));
    assert_eq!(run.attribute("stead.workflow.id"), workflow["id"].as_str().unwrap());
    assert_eq!(run.attribute("stead.outcome"), "failed");
    let step = only(spans, "step image");
    assert_eq!((&step.parent, step.attribute("stead.step.attempt")), (&run.id, "1"));
    assert!(step.failure.contains("agent-node"), "{step:?}");
    let undo = only(spans, "undo image");
    assert_eq!((&undo.parent, undo.attribute("stead.outcome")), (&run.id, "done"));
}

/// The figures of whoever runs workflows.
fn check_figures(figures: &str) {
    for line in [
        r#"stead_steps_total{flow="provision",step="image",action="run",outcome="failed"} "#,
        r#"stead_steps_total{flow="provision",step="image",action="undo",outcome="done"} "#,
        r#"stead_workflow_runs_total{flow="provision",outcome="failed"} "#,
        r#"stead_leases_total{event="taken"} "#,
        r#"stead_workflow_wait_seconds_count{flow="provision"} "#,
        r#"stead_step_seconds_bucket{flow="provision",step="image",action="run",le="1800"} "#,
    ] {
        assert!(figures.contains(line), "{line}: {figures}");
    }
}

fn headers() -> String {
    format!("traceparent: 00-{TRACE}-{CALLER}-01\r\nx-request-id: req-1\r\n")
}

#[test]
fn a_trace_goes_from_a_request_through_another_program() {
    let collector = Collector::start();
    let (fleet, database) = (Fleet::new(&collector.endpoint()), Database::new());
    let url = database.url();
    fleet.ok(&["migrate", "--database", &url]);
    fleet.ok(&["store", "import", "--database", &url]);
    let (serving, ready) = fleet.start(&["serve", "--database", &url, "--listen", "127.0.0.1:0"]);
    let (working, at) = fleet.start(&["worker", "--database", &url, "--metrics", "127.0.0.1:0"]);
    let api = Api::of(&ready);
    let workflow = api.fails("zeta", &headers());

    let at = at["metrics"].as_str().unwrap();
    let (status, figures) = ask(at, "GET /metrics", "", "");
    assert_eq!(status, 200);
    check_figures(&figures);
    let (status, health) = ask(at, "GET /healthz", "", "");
    assert!(status == 200 && health.contains(r#""status":"ok""#), "{health}");
    assert_eq!(ask(at, "GET /v1/workspaces", "", "").0, 404);
    let (_, figures) = api.ask("GET /metrics", "", &Value::Null);
    assert!(figures.contains(r#"stead_leases{state="held"} 0"#) && !figures.contains("stead_steps_total"), "{figures}");

    // What is queued where no traces are made is in none, until a worker begins one and writes that down.
    let mut quiet = fleet.command(&["--json", "serve", "--database", &url, "--listen", "127.0.0.1:0"]);
    quiet.env_remove("STEAD_TELEMETRY_OTLP_ENDPOINT");
    let (quiet, ready) = Program::start(quiet, fleet.path("quiet.log"));
    Api::of(&ready).fails_again(workflow["id"].as_str().unwrap());
    database.meddle("DO $$ BEGIN ASSERT NOT EXISTS (SELECT FROM workflows WHERE trace IS NULL); END $$");
    drop(quiet);

    // Both send what is left before they end.
    working.stop();
    serving.stop();
    let spans = collector.spans();
    check_trace(&spans, &workflow, "stead-worker");
    let again: Vec<_> = spans.iter().filter(|span| span.name == "workflow provision" && span.trace != TRACE).collect();
    assert_eq!(again.len(), 1, "{spans:#?}");
    assert_eq!(again[0].parent, "");
    assert!(!spans.iter().any(|span| span.name.contains("/metrics")), "{spans:#?}");
}

#[test]
fn one_program_alone_has_traces_and_all_figures() {
    let collector = Collector::start();
    let fleet = Fleet::new(&collector.endpoint());
    let (serving, ready) = fleet.start(&["serve", "--listen", "127.0.0.1:0"]);
    let api = Api::of(&ready);
    let workflow = api.fails("zeta", &headers());
    let (_, figures) = api.ask("GET /metrics", "", &Value::Null);
    check_figures(&figures);
    serving.stop();
    check_trace(&collector.spans(), &workflow, "stead-serve");
}

#[test]
fn callers_do_not_say_what_is_traced() {
    let collector = Collector::start();
    let fleet = Fleet::new(&collector.endpoint());
    let (serving, ready) = fleet.start(&["serve", "--listen", "127.0.0.1:0"]);
    let api = Api::of(&ready);
    // Neither that nothing is: the request, and its workflow, leave their trace.
    let workflow = api.fails("zeta", &headers().replace("-01\r\n", "-00\r\n"));
    let (refused, _) = ask(&api.address, "GET /v1/workspaces", &headers(), "");
    let (odd, _) = api.ask("FROB /v1/workspaces", "", &Value::Null);
    assert_eq!((refused, odd), (401, 405));
    serving.stop();
    let spans = collector.spans();
    check_trace(&spans, &workflow, "stead-serve");
    let with = |status: &str| -> Vec<&Span> {
        spans.iter().filter(|span| span.attribute("http.response.status_code") == status).collect()
    };
    // Nor does a stranger take a place in anybody's trace, or make names.
    let (refused, odd) = (with("401"), with("405"));
    assert_eq!((refused.len(), odd.len()), (1, 1), "{spans:#?}");
    assert!(refused[0].trace != TRACE && refused[0].parent.is_empty(), "{refused:#?}");
    assert_eq!(odd[0].attribute("http.request.method"), "other");
    assert!(odd[0].name.starts_with("other /v1"), "{odd:#?}");

    // Nor that something is.
    let collector = Collector::start();
    let fleet = Fleet::new(&collector.endpoint());
    let mut command = fleet.command(&["--json", "serve", "--listen", "127.0.0.1:0"]);
    command.env("STEAD_TELEMETRY_SAMPLE", "0");
    let (serving, ready) = Program::start(command, fleet.path("serve.log"));
    let api = Api::of(&ready);
    api.fails("zeta", &headers());
    ask(&api.address, "GET /v1/workspaces", &headers(), "");
    serving.stop();
    assert!(collector.spans().is_empty(), "{:#?}", collector.spans());
}

#[test]
fn a_collector_that_is_not_there_costs_a_warning() {
    // A port that nothing listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let fleet = Fleet::new(&format!("http://{free}"));
    let (serving, ready) = fleet.start(&["serve", "--listen", "127.0.0.1:0"]);
    let api = Api::of(&ready);
    api.fails("zeta", "");
    std::thread::sleep(Duration::from_millis(4500));
    let (status, _) = api.ask("GET /v1/workspaces", "", &Value::Null);
    assert_eq!(status, 200);
    let (log, took) = serving.stop();
    assert_eq!(log.matches("spans could not be sent").count(), 1, "{log}");
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[test]
fn no_secret_that_a_program_holds_is_in_its_log() {
    const WORD: &str = "sk-planted-7c1d2e3f";
    let collector = Collector::start();
    let fleet = Fleet::new(&collector.endpoint());
    let headers = fleet.path("headers");
    std::fs::write(&headers, format!("x-key: {WORD}\n")).unwrap();
    for format in ["text", "json"] {
        let mut command = fleet.command(&["--json", "serve", "--listen", "127.0.0.1:0"]);
        command.env("STEAD_LOG_FORMAT", format).env("STEAD_TELEMETRY_HEADERS_FILE", &headers);
        let (serving, ready) = Program::start(command, fleet.path("serve.log"));
        let (status, _) = Api::of(&ready).ask("GET /v1/workspaces", &format!("x-request-id: {WORD}\r\n"), &Value::Null);
        assert_eq!(status, 200);
        let (log, _) = serving.stop();
        assert!(log.contains("[secret]") && !log.contains(WORD), "{log}");
    }
    let spans = collector.spans();
    let asked: Vec<_> = spans.iter().filter(|span| span.name == "GET /v1/workspaces").collect();
    assert_eq!(asked.len(), 2, "{spans:#?}");
    assert!(asked.iter().all(|span| span.attribute("stead.request.id") == "[secret]"), "{asked:#?}");
    assert!(collector.heads().iter().all(|head| head.contains(&format!("x-key: {WORD}"))));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let fleet = Fleet::new("localhost:4318");
    let refused = |arguments: &[&str], name: &str, value: &str| {
        let output = fleet.command(arguments).env(name, value).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let said = refused(&serve, "STEAD_HTTP_BODY_KIB", "64");
    assert!(said.contains("telemetry.otlp_endpoint: \"localhost:4318\" is no address"), "{said}");
    let said = refused(&serve, "STEAD_TELEMETRY_SAMPLE", "1.5");
    assert!(said.contains("telemetry.sample: 1.5 is no part of a whole"), "{said}");
    let worker = ["worker", "--database", "postgres://stead@localhost/none"];
    let fleet = Fleet::new("");
    let output = fleet.command(&worker).args(["--metrics", "0.0.0.0:9000"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("0.0.0.0:9000 is no loopback address"), "{said}");
}
