//! Serving the API.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Result;
use crate::error::Context;

/// How long requests under way may still take once the server is told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Serves until `shutdown` is cancelled, then answers the requests under way and returns.
///
/// # Errors
/// Fails where the listener does.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> Result<()> {
    let graceful = shutdown.clone().cancelled_owned();
    let server = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(graceful);
    tokio::select! {
        ended = server => ended.context("serving the control API"),
        // A client that keeps its connection open must not keep the program alive.
        () = async {
            shutdown.cancelled().await;
            tokio::time::sleep(GRACE).await;
        } => Ok(()),
    }
}
