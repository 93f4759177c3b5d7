//! Traces: what a request, and the workflow that it began, spent their time on, across programs (OpenTelemetry).
//!
//! Spans of [`TARGET`] make up traces; the log leaves them out. Where no collector is configured nothing is interested in them,
//! and a span costs what a disabled log line does.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanContext, Status, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider};
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, filter};

use super::collector::Collector;
use crate::config::control::Telemetry;
use crate::redact::mask;
use crate::{Error, Result};

/// The target of spans that make up traces.
pub const TARGET: &str = "trace";
/// The header, and the key, of a trace's place (<https://www.w3.org/TR/trace-context/>).
pub const TRACEPARENT: &str = "traceparent";

/// For how long spans that wait are sent after the program's work is over.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often spans are sent.
const EVERY: Duration = Duration::from_secs(2);
/// How many spans wait at most; what comes then is dropped.
const WAITING: usize = 8192;
/// How many are sent at once.
const AT_ONCE: usize = 512;

/// Which traces are made; nothing where none are.
static SAMPLE: OnceLock<Sample> = OnceLock::new();

/// Where this program's spans go.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Begins to send spans to the collector that the settings name; none where they name none. `service` is which of the
    /// programs this is, and `host` where.
    ///
    /// # Errors
    /// Fails where the settings make no sense. A collector that is not there is no error: see [`Collector`].
    pub fn start(settings: &Telemetry, service: &'static str, host: &str) -> Result<Option<Self>> {
        if !(0.0..=1.0).contains(&settings.sample) {
            let error = Error::input(format!("telemetry.sample: {} is no part of a whole", settings.sample));
            return Err(error.hint("write a number from 0.0, for no traces, to 1.0, for all"));
        }
        let Some(collector) = Collector::new(settings)? else { return Ok(None) };
        let resource = Resource::builder_empty()
            .with_service_name(service)
            .with_attributes([
                KeyValue::new("service.version", crate::VERSION),
                KeyValue::new("service.instance.id", uuid::Uuid::now_v7().to_string()),
                KeyValue::new("host.name", host.to_owned()),
            ])
            .build();
        // All is set: the defaults are from the environment, where operators of this program look for nothing.
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(WAITING)
            .with_max_export_batch_size(AT_ONCE)
            .with_scheduled_delay(EVERY)
            .build();
        let processor = BatchSpanProcessor::builder(collector).with_batch_config(batches).build();
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.sample))))
            .with_resource(resource)
            .with_span_processor(processor)
            .build();
        // A program starts its traces once.
        let _ = SAMPLE.set(Sample { part: settings.sample, keys: RandomState::new() });
        Ok(Some(Self(provider)))
    }

    /// What makes spans of the program's own.
    pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let layer = tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("stead"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false);
        layer.with_filter(filter::filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET))
    }

    /// Sends what waits, for a bounded time.
    pub async fn finish(self) {
        let flushed = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(PATIENCE)).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!("the last spans were not sent");
        }
    }
}

/// Makes a span, which is not entered yet, go on from where another of our programs was: a `traceparent`, or nothing. What is none
/// is passed over.
pub fn go_on(span: &Span, from: Option<&str>) {
    if let (false, Some(parent)) = (span.is_disabled(), from.and_then(read)) {
        below(span, parent);
    }
}

/// Makes a request's span, which is not entered yet, go on from where its caller is. Whether the trace is made is not for callers to
/// say: neither by their flag, nor by the trace's id, which is theirs as well.
pub fn answer(span: &Span, from: Option<&str>) {
    if let (false, Some(caller), Some(sample)) = (span.is_disabled(), from.and_then(read), SAMPLE.get()) {
        let flags = TraceFlags::default().with_sampled(sample.has(caller.trace_id()));
        below(span, SpanContext::new(caller.trace_id(), caller.span_id(), flags, true, TraceState::NONE));
    }
}

fn below(span: &Span, parent: SpanContext) {
    // Fails where the log alone shows the span, and then there is no trace to go on with.
    let _ = span.set_parent(Context::new().with_remote_span_context(parent));
}

/// What a `traceparent` says.
fn read(from: &str) -> Option<SpanContext> {
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), from.to_owned())]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    Some(context.span().span_context().clone()).filter(SpanContext::is_valid)
}

/// Which of callers' traces are made: all that belongs to one, or nothing of it.
struct Sample {
    part: f64,
    /// Nobody outside knows them, so nobody can choose an id that is among those.
    keys: RandomState,
}

impl Sample {
    fn has(&self, trace: TraceId) -> bool {
        let [a, b, c, d, ..] = self.keys.hash_one(trace.to_bytes()).to_be_bytes();
        f64::from(u32::from_be_bytes([a, b, c, d])) < self.part * 2_f64.powi(32)
    }
}

/// Where a span is, for another program to go on from: a `traceparent`. None where no traces are made.
pub fn place(span: &Span) -> Option<String> {
    if SAMPLE.get().is_none() || span.is_disabled() {
        return None;
    }
    let context = span.context();
    let context: SpanContext = context.span().span_context().clone();
    let (trace, span, flags) = (context.trace_id(), context.span_id(), context.trace_flags().to_u8());
    context.is_valid().then(|| format!("00-{trace}-{span}-{flags:02x}"))
}

/// Says how what a span is of ended: in a word, and why it failed.
pub fn ended(span: &Span, outcome: &'static str, failure: Option<&Error>) {
    if span.is_disabled() {
        return;
    }
    note(span, "stead.outcome", outcome);
    if let Some(error) = failure {
        failed(span, &error.one_line());
    }
}

/// Marks a span as that of a failure.
pub fn failed(span: &Span, why: &str) {
    // Masked now, while whoever holds a secret that may be in it still does.
    span.set_status(Status::error(mask(why).into_owned()));
}

/// As [`ended`], for what either succeeds or fails.
pub fn ended_as<T>(span: &Span, ended_as: &Result<T>) {
    match ended_as {
        Ok(_) => ended(span, "done", None),
        Err(error) => ended(span, "failed", Some(error)),
    }
}

/// Adds an attribute to a span.
pub fn note(span: &Span, name: &'static str, value: impl Into<Value>) {
    if !span.is_disabled() {
        span.set_attribute(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_callers_traces_is_made() {
        let made = |part: f64| {
            let sample = Sample { part, keys: RandomState::new() };
            // As somebody chooses them who knows how ids are drawn by.
            (1..=10_000_u128).filter(|id| sample.has(TraceId::from(id << 64))).count()
        };
        assert_eq!((made(0.0), made(1.0)), (0, 10_000));
        let some = made(0.25);
        assert!((2_000..3_000).contains(&some), "{some}");
    }
}
