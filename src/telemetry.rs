//! Logs: for those who look into the program, apart from what a user is told.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

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
