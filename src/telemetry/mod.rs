//! Logs, figures and traces: for those who look into the program, apart from what a user is told.

mod collector;
mod masked;
pub mod traces;

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use self::masked::Lines;
use self::traces::Traces;
use crate::{Error, Result};

/// How often measurements are summed up.
const UPKEEP: Duration = Duration::from_secs(5);

/// What this program counts, for a Prometheus.
///
/// # Errors
/// Fails where something else has been made the program's recorder.
pub fn metrics() -> Result<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let handle = HANDLE.get_or_init(|| {
        // In seconds: from what a lookup takes to what a request may take.
        const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0];
        // What workers do: from a write to the making of an image.
        const LONG: [f64; 11] = [0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS).ok()?;
        let long = ["stead_step_", "stead_workflow_wait_", "stead_ssh_", "stead_provider_"];
        let builder = long
            .into_iter()
            .try_fold(builder, |builder, name| builder.set_buckets_for_metric(Matcher::Prefix(name.to_owned()), &LONG))
            .ok()?;
        builder.install_recorder().ok()
    });
    handle.as_ref().ok_or_else(|| Error::failed("the program's figures are recorded elsewhere"))
}

/// Begins to count what this program does; within a runtime, whose task looks after the figures until the program ends.
///
/// # Errors
/// As [`metrics()`] does.
pub fn count() -> Result<()> {
    tokio::spawn(upkeep(metrics()?.clone(), UPKEEP));
    Ok(())
}

/// Sums up what was measured since the last time. Only this and whoever asks for the figures do that, and each measurement is kept
/// until then: where nobody asks, memory would fill with them.
async fn upkeep(figures: PrometheusHandle, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        figures.run_upkeep();
    }
}

/// Sends logs to stderr, with secret values masked. `verbosity` 0 shows warnings, 1 what happens, 2 debug, 3 and more everything;
/// `STEAD_LOG` (a tracing filter) goes before it. `json` writes one JSON object per line, for log collectors. Spans go to `traces`,
/// where there are any.
pub fn init(verbosity: u8, json: bool, traces: Option<&Traces>) {
    let level = match verbosity {
        0 => "stead=warn,error",
        1 => "stead=info,warn",
        2 => "stead=debug,warn",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("STEAD_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let layer = fmt::layer().with_ansi(std::io::stderr().is_terminal());
    let layer = if json {
        layer.json().with_writer(masked::stderr(Lines::Json)).with_filter(filter).boxed()
    } else {
        layer.with_target(false).with_writer(masked::stderr(Lines::Text)).with_filter(filter).boxed()
    };
    tracing_subscriber::registry().with(layer).with(traces.map(Traces::layer)).init();
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn measurements_do_not_wait_for_somebody_who_asks() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let task = tokio::spawn(upkeep(recorder.handle(), Duration::from_millis(1)));
        metrics::with_local_recorder(&recorder, || metrics::histogram!("measured").record(1.5));
        // Nobody renders the figures; what is summed up, the recorder shows of itself.
        let begun = Instant::now();
        while !format!("{recorder:?}").contains(r#""measured": {"#) {
            assert!(begun.elapsed() < Duration::from_secs(10), "{recorder:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        task.abort();
    }
}
