//! A provider whose calls are counted, and are spans of traces.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use metrics::{counter, histogram};
use tracing::{Instrument, info_span};

use super::{Machine, MachineSpec, Provider};
use crate::Result;
use crate::id::Mark;
use crate::telemetry::traces;

/// A provider, watched.
pub(super) struct Watched {
    pub(super) kind: &'static str,
    pub(super) inner: Arc<dyn Provider>,
}

impl Watched {
    async fn call<T>(&self, operation: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let (kind, begun) = (self.kind, Instant::now());
        let span = info_span!(
            target: traces::TARGET,
            "provider",
            otel.name = %format_args!("{kind} {operation}"),
            otel.kind = "client",
            stead.provider = kind,
            stead.operation = operation,
        );
        let ended = work.instrument(span.clone()).await;
        let outcome = if ended.is_ok() { "done" } else { "failed" };
        counter!("stead_provider_calls_total", "provider" => kind, "operation" => operation, "outcome" => outcome)
            .increment(1);
        histogram!("stead_provider_call_seconds", "provider" => kind, "operation" => operation).record(begun.elapsed());
        traces::ended_as(&span, &ended);
        ended
    }
}

#[async_trait]
impl Provider for Watched {
    async fn find(&self, mark: &Mark) -> Result<Option<Machine>> {
        self.call("find", self.inner.find(mark)).await
    }

    async fn list(&self) -> Result<Vec<Machine>> {
        self.call("list", self.inner.list()).await
    }

    async fn create(&self, spec: &MachineSpec) -> Result<Machine> {
        self.call("create", self.inner.create(spec)).await
    }

    async fn start(&self, mark: &Mark) -> Result<Machine> {
        self.call("start", self.inner.start(mark)).await
    }

    async fn stop(&self, mark: &Mark) -> Result<()> {
        self.call("stop", self.inner.stop(mark)).await
    }

    async fn destroy(&self, mark: &Mark) -> Result<()> {
        self.call("destroy", self.inner.destroy(mark)).await
    }

    async fn console(&self, mark: &Mark, lines: usize) -> Result<Option<String>> {
        self.call("console", self.inner.console(mark, lines)).await
    }
}
