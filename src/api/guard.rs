//! What stands in front of all requests: an id, limits, an answer in any case.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tracing::{Span, info_span};

use super::limits::client;
use super::{App, Problem, fleet, metrics};
use crate::telemetry::traces;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The request's id, which the logs and the audit log name.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) Arc<str>);

/// The request's span, which is not entered before it is known who asks.
#[derive(Debug, Clone)]
struct Traced(Span);

/// Gives every request its id and its limits, and turns a panic into an answer.
pub(super) async fn guard(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let (method, path, begun) = (request.method().clone(), request.uri().path().to_owned(), Instant::now());
    let route = request.extensions().get::<MatchedPath>().cloned();
    request.extensions_mut().insert(RequestId(id.to_str().unwrap_or_default().into()));
    let uploads = fleet::is_upload(&method, route.as_ref().map(MatchedPath::as_str));
    let admitted = admit(&app, &request, uploads);
    let span = if admitted.is_ok() { span(&method, route.as_ref(), &id) } else { Span::none() };
    let mut response = match admitted {
        Ok(()) => {
            request.extensions_mut().insert(Traced(span.clone()));
            let usual = Duration::from_secs(u64::from(app.http().timeout_seconds));
            let timeout = if uploads { fleet::PATIENCE } else { usual };
            let answer = AssertUnwindSafe(next.run(request));
            match tokio::time::timeout(timeout, answer.catch_unwind()).await {
                Ok(Ok(response)) => response,
                Ok(Err(_)) => {
                    tracing::error!(?id, "a request's handler panicked");
                    let status = StatusCode::INTERNAL_SERVER_ERROR;
                    Problem::new(status, "internal", "the request failed inside Stead").into_response()
                }
                Err(_) => {
                    let detail = format!("no answer within {} s", timeout.as_secs());
                    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry_after(2).into_response()
                }
            }
        }
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id.clone());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if !span.is_disabled() {
        traces::note(&span, "http.response.status_code", i64::from(response.status().as_u16()));
        if response.status().is_server_error() {
            traces::failed(&span, response.status().canonical_reason().unwrap_or("a server's error"));
        }
    }
    metrics::count(&method, route.as_ref(), response.status(), begun.elapsed());
    tracing::info!(?id, %method, path, status = response.status().as_u16(), elapsed = ?begun.elapsed(), "request");
    response
}

/// The span of a request. None where no traces are made, and for what machines ask again and again to see whether all is well.
fn span(method: &Method, route: Option<&MatchedPath>, id: &HeaderValue) -> Span {
    let route = route.map_or("none", MatchedPath::as_str);
    if ["/healthz", "/readyz", "/metrics"].contains(&route) {
        return Span::none();
    }
    let method = metrics::known(method);
    info_span!(
        target: traces::TARGET,
        "request",
        otel.name = %format_args!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        stead.request.id = id.to_str().unwrap_or_default(),
    )
}

/// The span in which a request is answered whose caller is known; it goes on with the caller's trace. That of what others
/// ask begins a trace of its own.
pub(super) fn answering(request: &mut Request) -> Span {
    let Some(Traced(span)) = request.extensions_mut().remove::<Traced>() else { return Span::none() };
    if !span.is_disabled() {
        traces::answer(&span, request.headers().get(traces::TRACEPARENT).and_then(|value| value.to_str().ok()));
    }
    span
}

fn admit(app: &App, request: &Request, uploads: bool) -> Result<(), Problem> {
    if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
        app.limiter().address(client(peer.ip(), request.headers(), &app.http().trusted_proxies))?;
    }
    let length = request.headers().get(header::CONTENT_LENGTH);
    let announced = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let most = if uploads { fleet::LARGEST } else { u64::from(app.http().body_kib) << 10 };
    match announced {
        Some(length) if length > most => Err(too_large(most)),
        _ => Ok(()),
    }
}

/// What to say of a body that is too long, in bytes.
pub(super) fn too_large(most: u64) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", format!("a body may have {most} bytes at most"))
}

/// The caller's request id where it is a plain word, so that it cannot break a log; otherwise a new one.
fn request_id(request: &Request) -> HeaderValue {
    let plain = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
    match request.headers().get(REQUEST_ID) {
        Some(id) if (1..=64).contains(&id.len()) && id.as_bytes().iter().all(plain) => id.clone(),
        _ => HeaderValue::try_from(uuid::Uuid::now_v7().to_string())
            .expect("a UUID consists of characters that headers may have"),
    }
}
