//! A collector of traces for tests: takes OTLP over HTTP, and keeps what spans tell.
#![allow(dead_code, clippy::allow_attributes, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;

/// What a span told.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty where it began its trace.
    pub(crate) parent: String,
    /// Its attributes, and those of the program that it is of.
    pub(crate) attributes: BTreeMap<String, String>,
    /// Why it failed.
    pub(crate) failure: String,
}

impl Span {
    /// An attribute; empty where there is none.
    pub(crate) fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// A collector that runs as long as the test.
pub(crate) struct Collector {
    address: SocketAddr,
    kept: Arc<Kept>,
}

/// What came.
#[derive(Default)]
struct Kept {
    spans: Mutex<Vec<Span>>,
    heads: Mutex<Vec<String>>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (address, collected) = (listener.local_addr().expect("bound"), Arc::new(Kept::default()));
        let kept = collected.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = kept.clone();
                std::thread::spawn(move || serve(stream, &kept));
            }
        });
        Self { address, kept: collected }
    }

    /// What programs are told as `telemetry.otlp_endpoint`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What came so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.kept.spans.lock().expect("whole").clone()
    }

    /// The heads of the requests that brought it.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.kept.heads.lock().expect("whole").clone()
    }

    /// Waits until what came is enough.
    pub(crate) fn until(&self, so: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let begun = Instant::now();
        loop {
            let spans = self.spans();
            if so(&spans) {
                return spans;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{spans:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Answers one request after the other.
fn serve(stream: TcpStream, kept: &Kept) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut line, mut head) = (0, String::new(), String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or_default() == 0 {
                return;
            }
            head += &line;
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
            if line.trim().is_empty() {
                break;
            }
        }
        assert!(head.starts_with("POST /v1/traces "), "{head}");
        kept.heads.lock().expect("whole").push(head);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        let request = ExportTraceServiceRequest::decode(body.as_slice()).expect("spans");
        kept.spans.lock().expect("whole").extend(read(request));
        if reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

fn read(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for group in request.resource_spans {
        let program = texts(&group.resource.expect("a resource").attributes);
        for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let mut attributes = program.clone();
            attributes.extend(texts(&span.attributes));
            spans.push(Span {
                name: span.name,
                trace: hex::encode(span.trace_id),
                id: hex::encode(span.span_id),
                parent: hex::encode(span.parent_span_id),
                attributes,
                failure: span.status.map(|status| status.message).unwrap_or_default(),
            });
        }
    }
    spans
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.clone().and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.iter().map(|pair| (pair.key.clone(), text(pair))).collect()
}
