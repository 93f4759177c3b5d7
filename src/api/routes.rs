//! The routes, and what stands in front of all of them.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::FutureExt;
use serde_json::{Value, json};

use super::views::{self, List, NodeView, WorkspaceView};
use super::{Problem, TokenHash};
use crate::store::Store;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest body that a request may announce, in bytes.
const BODY: u64 = 64 << 10;

/// The API over a store, for holders of the token.
pub fn router(store: Store, token: TokenHash) -> Router {
    // The inner fallbacks stand behind the token too: who has none learns not even what there is.
    let v1 = Router::new()
        .route("/workspaces", get(workspaces))
        .route("/nodes", get(nodes))
        .method_not_allowed_fallback(wrong_method)
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(token, authorize));
    Router::new()
        .route("/healthz", get(healthz))
        .nest("/v1", v1)
        .method_not_allowed_fallback(wrong_method)
        .fallback(not_found)
        .layer(middleware::from_fn(guard))
        .with_state(store)
}

async fn healthz(State(store): State<Store>) -> Result<Json<Value>, Problem> {
    let readable = async { store.read().await?.fleet().await }.await;
    readable.map_err(|error| {
        tracing::error!(error = error.one_line(), "the store cannot be read");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read")
    })?;
    Ok(Json(json!({"status": "ok", "version": crate::VERSION})))
}

async fn workspaces(State(store): State<Store>) -> Result<Json<List<WorkspaceView>>, Problem> {
    Ok(Json(views::workspaces(&mut store.read().await?).await?))
}

async fn nodes(State(store): State<Store>) -> Result<Json<List<NodeView>>, Problem> {
    Ok(Json(views::nodes(&mut store.read().await?).await?))
}

async fn not_found(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at {}", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} does not take {method}", uri.path()))
}

async fn authorize(State(token): State<TokenHash>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    match given {
        Some(given) if token.matches(given) => next.run(request).await,
        Some(_) => Problem::new(StatusCode::UNAUTHORIZED, "the token is wrong").into_response(),
        None => Problem::new(StatusCode::UNAUTHORIZED, "a token is needed")
            .hint("send the header `Authorization: Bearer TOKEN`")
            .into_response(),
    }
}

/// The token of a `Bearer` header; the scheme is compared without case (RFC 9110, section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Gives every request its id and its limits, and turns a panic into an answer.
async fn guard(mut request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let (method, path, begun) = (request.method().clone(), request.uri().path().to_owned(), Instant::now());
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let mut response = if announced.is_some_and(|length: u64| length > BODY) {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a body may have {BODY} bytes at most")).into_response()
    } else {
        match tokio::time::timeout(TIMEOUT, AssertUnwindSafe(next.run(request)).catch_unwind()).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => {
                tracing::error!(?id, "a request's handler panicked");
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the request failed inside Stead").into_response()
            }
            Err(_) => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("no answer within {} s", TIMEOUT.as_secs()))
                    .into_response()
            }
        }
    };
    response.headers_mut().insert(REQUEST_ID, id.clone());
    tracing::info!(?id, %method, path, status = response.status().as_u16(), elapsed = ?begun.elapsed(), "request");
    response
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
