//! Serving the API: connections, and how long and how many of them are borne with.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_layer::Layer;

use crate::Result;
use crate::config::control::Http;

/// How long requests under way may still take once the server is told to stop.
const GRACE: Duration = Duration::from_secs(10);
/// The most header fields of a request, and the most bytes of its head.
const HEADERS: usize = 64;
const HEAD: usize = 32 << 10;
/// How long to wait when the system gives no more connections.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` is cancelled, then answers the requests under way and returns.
///
/// A connection whose next request does not come, or comes slowly, is closed after the time that a request may take; so many
/// that open connections and say nothing hold nobody up for longer than that.
///
/// # Errors
/// Fails where the listener does.
pub async fn serve(listener: TcpListener, router: Router, http: &Http, shutdown: CancellationToken) -> Result<()> {
    let seats = Arc::new(Semaphore::new(usize::try_from(http.connections).unwrap_or(Semaphore::MAX_PERMITS)));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(u64::from(http.timeout_seconds)))
        .max_headers(HEADERS)
        .max_buf_size(HEAD);
    let graceful = GracefulShutdown::new();
    loop {
        let (stream, peer, seat) = tokio::select! {
            accepted = next(&listener, &seats) => accepted?,
            () = shutdown.cancelled() => break,
        };
        let service = TowerToHyperService::new(axum::Extension(ConnectInfo(peer)).layer(router.clone()));
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "a connection ended");
            }
            drop(seat);
        });
    }
    // Nobody new; a client that keeps its connection open must not keep the program alive.
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(GRACE) => {}
    }
    Ok(())
}

type Seat = tokio::sync::OwnedSemaphorePermit;

/// The next connection, once there is a seat for it.
async fn next(listener: &TcpListener, seats: &Arc<Semaphore>) -> Result<(TcpStream, std::net::SocketAddr, Seat)> {
    let closed = |error| crate::Error::failed("the server's seats").because(error);
    let seat = seats.clone().acquire_owned().await.map_err(closed)?;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return Ok((stream, peer, seat)),
            // The client has gone already.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
            Err(error) => {
                // Out of file descriptors, most likely: others will be closed.
                tracing::warn!(%error, "taking a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
