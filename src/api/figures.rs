//! What a program that serves no API gives on an address of this machine's own: its figures, and that it lives.

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::health::healthz;
use super::metrics::text;
use super::{Problem, serve};
use crate::Result;
use crate::config::control::Http;

/// The most connections at once: those who watch are few.
const CONNECTIONS: u32 = 16;

/// Gives the program's figures at `/metrics`, and that it lives at `/healthz`, to whoever asks, until `stop` is cancelled.
///
/// # Errors
/// Fails where the listener does.
pub async fn figures(listener: TcpListener, stop: CancellationToken) -> Result<()> {
    let routes =
        Router::new().route("/metrics", get(async || text().map_err(Problem::from))).route("/healthz", get(healthz));
    let http = Http { connections: CONNECTIONS, ..Http::default() };
    serve(listener, routes, &http, stop).await
}
