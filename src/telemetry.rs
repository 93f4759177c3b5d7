//! Logs and figures: for those who look into the program, apart from what a user is told.

use std::io::IsTerminal;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::{Error, Result};

/// What this program counts, for a Prometheus.
///
/// # Errors
/// Fails where something else has been made the program's recorder.
pub fn metrics() -> Result<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let handle = HANDLE.get_or_init(|| {
        // In seconds: from what a lookup takes to what a request may take.
        const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0];
        PrometheusBuilder::new().set_buckets(&BUCKETS).ok()?.install_recorder().ok()
    });
    handle.as_ref().ok_or_else(|| Error::failed("the program's figures are recorded elsewhere"))
}

/// Sends logs to stderr. `verbosity` 0 shows warnings, 1 what happens, 2 debug, 3 and more everything; `STEAD_LOG` (a tracing filter)
/// goes before it. `json` writes one JSON object per line, for log collectors.
pub fn init(verbosity: u8, json: bool) {
    let level = match verbosity {
        0 => "stead=warn,error",
        1 => "stead=info,warn",
        2 => "stead=debug,warn",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("STEAD_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if json {
        builder.json().init();
    } else {
        builder.with_target(false).init();
    }
}
