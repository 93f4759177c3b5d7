//! The workload: a small HTTP service on the node's loopback address, in a unit and a sandbox of its own.
//!
//! It answers `/health` with the fingerprints of the credentials that systemd gave it, computed from the values
//! themselves: so the controller sees that the very value it sealed has reached the workload.

mod credentials;
mod http;
mod notify;
mod options;

use std::net::TcpListener;
use std::sync::Arc;

use serde_json::json;

use crate::error::Context;
use crate::{Error, Result};

pub use options::Options;

/// Serves until the process is told to end (SIGTERM, which systemd sends and which ends a process at once; there is
/// nothing to lose).
///
/// # Errors
/// Fails where the address is taken or is not on the loopback interface.
pub fn serve(options: &Options) -> Result<()> {
    let listener = TcpListener::bind(options.listen)
        .with_context(|| format!("listening on {}", options.listen))
        .map_err(|error| error.hint("`ss -ltnp` on the node tells who has the port"))?;
    let options = Arc::new(options.clone());
    notify::ready(options.notify_socket.as_deref())?;
    http::serve(&listener, Arc::new(move |path| answer(&options, path)))
}

/// Status and JSON body for a path.
fn answer(options: &Options, path: &str) -> (u16, String) {
    if path != "/health" {
        return (404, json!({"error": "there is nothing here; ask /health"}).to_string());
    }
    let about = |status: &str| json!({"status": status, "version": crate::VERSION, "workspace": options.workspace});
    match credentials::read(options) {
        Ok(held) => {
            let mut body = about("ok");
            body["credentials"] = json!(held);
            (200, body.to_string())
        }
        Err(error) => {
            let mut body = about("unhealthy");
            body["reason"] = json!(Error::one_line(&error));
            (503, body.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fingerprint::fingerprint;

    fn options(dir: &std::path::Path) -> Options {
        let dir = dir.to_str().unwrap().to_owned();
        let args = ["--listen", "127.0.0.1:0", "--workspace", "acme", "--credential", "KEY"].map(str::to_owned);
        Options::parse(&args, |name| (name == "CREDENTIALS_DIRECTORY").then(|| dir.clone())).unwrap()
    }

    #[test]
    fn health_is_the_fingerprint_of_what_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let options = options(dir.path());
        let (status, body) = answer(&options, "/health");
        assert_eq!(status, 503);
        assert!(body.contains("KEY"), "{body}");
        std::fs::write(dir.path().join("KEY"), "sk-value").unwrap();
        let meta = json!({"format": 1, "version": 4, "fingerprint": "old", "salt": "02".repeat(16), "fingerprint_key": "01".repeat(32)});
        std::fs::write(dir.path().join("KEY.meta"), meta.to_string()).unwrap();
        let (status, body) = answer(&options, "/health");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["workspace"], "acme");
        let expected = fingerprint(&[1; 32], &[2; 16], b"sk-value");
        assert_eq!(body["credentials"]["KEY"], json!({"version": 4, "fingerprint": expected}));
        assert!(!body.to_string().contains("sk-value"));
        assert_eq!(answer(&options, "/").0, 404);
    }
}
