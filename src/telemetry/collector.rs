//! Sending spans to a collector: OTLP over HTTP (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>), as protobuf.
//!
//! A collector that cannot be reached costs the spans, a warning now and then, and nothing else.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use opentelemetry::{Array, StringValue, Value};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use prost::Message;
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tokio::runtime::Handle;

use crate::config::control::Telemetry;
use crate::error::Context;
use crate::redact::{Secret, keep, mask};
use crate::{Error, Result};

/// Where OTLP's spans go, below an endpoint.
const PATH: &str = "/v1/traces";
/// How long connecting, and an answer, may take.
const CONNECT: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(5);
/// How often a warning is given.
const QUIET: Duration = Duration::from_secs(60);

/// Where spans are sent.
pub(super) struct Collector {
    http: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    /// Spans are handed over by a thread that has no runtime.
    runtime: Handle,
    resource: ResourceAttributesWithSchema,
    trouble: Mutex<Trouble>,
}

/// What was not sent.
#[derive(Default)]
struct Trouble {
    told: Option<Instant>,
    lost: usize,
}

impl Collector {
    /// The collector that the settings name; none where they name none. Called within a runtime, which sends.
    ///
    /// # Errors
    /// Fails where the endpoint is no address, the file of headers cannot be read, or the headers would be sent in the clear.
    pub(super) fn new(settings: &Telemetry) -> Result<Option<Self>> {
        let Some(endpoint) = &settings.otlp_endpoint else { return Ok(None) };
        let url = parse(endpoint)?;
        let is_local = is_loopback(&url);
        let headers = match &settings.headers_file {
            Some(file) if url.scheme() == "http" && !is_local => {
                let error = Error::input(format!("the headers in {file} would cross the network unencrypted"));
                return Err(error.hint("give telemetry.otlp_endpoint as an https:// address"));
            }
            Some(file) => headers(file)?,
            None => HeaderMap::new(),
        };
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("stead/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .redirect(reqwest::redirect::Policy::none());
        if is_local {
            // What is on this machine no proxy reaches.
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| Error::failed("preparing to send traces").because(error))?;
        let (resource, trouble) = Default::default();
        Ok(Some(Self { http, url, headers, runtime: Handle::current(), resource, trouble }))
    }

    /// Says that spans are lost, but not each time.
    fn lose(&self, spans: usize, why: &str) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.lost += spans;
        if trouble.told.is_none_or(|told| told.elapsed() >= QUIET) {
            let collector = self.url.host_str();
            tracing::warn!(collector, lost = trouble.lost, error = why, "spans could not be sent and are lost");
            *trouble = Trouble { told: Some(Instant::now()), lost: 0 };
        }
    }
}

impl SpanExporter for Collector {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        batch.iter_mut().for_each(mask_span);
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let request = self.http.post(self.url.clone()).headers(self.headers.clone());
        let request = request.header(CONTENT_TYPE, "application/x-protobuf").body(body);
        let sent = self.runtime.spawn(async move { request.send().await?.error_for_status() }).await;
        let failure = match sent {
            Ok(Ok(_)) => return Ok(()),
            // The address may hold what is nobody's business; the host is told anyway.
            Ok(Err(error)) => Error::failed("sending").because(error.without_url()).one_line(),
            Err(_) => "the program ends".to_owned(),
        };
        self.lose(count, &failure);
        Err(OTelSdkError::InternalFailure(failure))
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

/// The address that spans are sent to: below the endpoint, or as it is given in full.
fn parse(endpoint: &str) -> Result<Url> {
    let malformed = || {
        Error::input(format!("telemetry.otlp_endpoint: {endpoint:?} is no address"))
            .hint("write where a collector takes OTLP over HTTP: http://127.0.0.1:4318")
    };
    let mut url: Url = endpoint.parse().map_err(|error| malformed().because(error))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(malformed());
    }
    if !url.username().is_empty() || url.password().is_some() {
        let error = Error::input("telemetry.otlp_endpoint holds a password");
        return Err(error.hint("give it as a header, in the file that telemetry.headers_file names"));
    }
    if !url.path().ends_with(PATH) {
        url.set_path(&format!("{}{PATH}", url.path().trim_end_matches('/')));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The headers in a file: a `Name: value` a line; lines that begin with `#` are passed over.
fn headers(file: &Utf8Path) -> Result<HeaderMap> {
    let text = fs_err::read(file).context("reading telemetry.headers_file").map(zeroize::Zeroizing::new)?;
    let text = std::str::from_utf8(&text).map_err(|error| Error::input(format!("{file} is no text")).because(error))?;
    let mut headers = HeaderMap::new();
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let header = line.split_once(':').and_then(|(name, value)| {
            let mut header = HeaderValue::from_str(value.trim()).ok()?;
            header.set_sensitive(true);
            Some((name.trim().parse::<HeaderName>().ok()?, header, value.trim()))
        });
        let (name, header, value) =
            header.ok_or_else(|| Error::input(format!("{file}:{number} is no header")).hint("write `Name: value`"))?;
        headers.append(name, header);
        // `Bearer WORD`: the word is the secret.
        let words = std::iter::once(value).chain(value.split_whitespace().skip(1));
        words.for_each(|word| keep(Secret::new(word.as_bytes().to_vec())));
    }
    Ok(headers)
}

/// Masks secret values in what a span tells.
fn mask_span(span: &mut SpanData) {
    if let opentelemetry::trace::Status::Error { description } = &mut span.status {
        *description = mask(description).into_owned().into();
    }
    for attribute in &mut span.attributes {
        match &mut attribute.value {
            Value::String(text) => mask_text(text),
            Value::Array(Array::String(texts)) => texts.iter_mut().for_each(mask_text),
            _ => {}
        }
    }
}

fn mask_text(text: &mut StringValue) {
    if let std::borrow::Cow::Owned(masked) = mask(text.as_str()) {
        *text = masked.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_where_spans_go_or_what_they_lie_below() {
        let at = |endpoint: &str| parse(endpoint).map(|url| url.to_string());
        assert_eq!(at("http://127.0.0.1:4318").unwrap(), "http://127.0.0.1:4318/v1/traces");
        assert_eq!(at("https://otel.example.com/in/").unwrap(), "https://otel.example.com/in/v1/traces");
        assert_eq!(at("http://h/v1/traces").unwrap(), "http://h/v1/traces");
        for wrong in ["127.0.0.1:4318", "grpc://h:4317", "", "http://", "https://u:p@h"] {
            assert_eq!(at(wrong).unwrap_err().kind(), crate::Kind::Input, "{wrong}");
        }
        assert!(!format!("{:?}", at("https://u:pass@h").unwrap_err()).contains("pass@"));
        let is_local = |url: &str| is_loopback(&url.parse().unwrap());
        assert!(is_local("http://[::1]:1") && is_local("http://localhost") && is_local("http://127.0.0.9:4318"));
        assert!(!is_local("http://10.0.0.1") && !is_local("http://localhost.example.com"));
    }

    #[tokio::test]
    async fn headers_are_a_files_and_are_not_sent_in_the_clear() {
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(folder.path()).unwrap().join("headers");
        std::fs::write(&file, "# who we are\nAuthorization: Bearer very-long-word\n\nx-team: a\n").unwrap();
        let settings = |endpoint: &str| Telemetry {
            otlp_endpoint: Some(endpoint.into()),
            headers_file: Some(file.clone()),
            ..Telemetry::default()
        };
        let collector = Collector::new(&settings("https://h")).unwrap().unwrap();
        assert_eq!((collector.headers.len(), &collector.headers["x-team"]), (2, &HeaderValue::from_static("a")));
        assert!(!format!("{:?}", collector.headers).contains("very-long-word"));
        assert_eq!(mask("it is very-long-word"), "it is [secret]");
        assert!(Collector::new(&settings("http://127.0.0.1:4318")).is_ok());
        let error = Collector::new(&settings("http://10.0.0.1")).unwrap_err();
        assert!(error.to_string().ends_with("unencrypted"), "{error}");
        std::fs::write(&file, "x-team: a\nno header very-long-word\n").unwrap();
        let error = Collector::new(&settings("https://h")).unwrap_err();
        assert_eq!(error.to_string(), format!("{file}:2 is no header"));
    }

    #[test]
    fn what_spans_tell_is_masked() {
        let _secret = Secret::new(b"correct-horse".to_vec());
        let mut text: StringValue = "with correct-horse".into();
        mask_text(&mut text);
        assert_eq!(text.as_str(), "with [secret]");
    }
}
