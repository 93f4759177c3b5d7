//! The routes, and what stands in front of all of them.

use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::get;
use axum::{Json, Router, middleware};

use super::caller::authorize;
use super::document::described;
use super::guard::guard;
use super::metrics::metrics;
use super::{App, Problem, reference};

/// The API.
pub fn router(app: App) -> Router {
    let (open, v1, document) = described();
    let figures = get(metrics).layer(middleware::from_fn_with_state(app.clone(), authorize));
    let description = serde_json::to_value(&document).unwrap_or_default();
    let page = reference::page(&description).map_err(Problem::from);
    let docs = get(async move || page.map(reference::answer));
    let open = open
        .route("/openapi.json", get(async || Json(document)))
        .route("/docs", docs)
        .route("/problems/{kind}", get(reference::problem))
        .route("/metrics", figures);
    guarded(app, open, v1)
}

/// Routes with what stands in front of all requests: an id, limits, an answer in any case, figures and a line in the log; and,
/// in front of those under `/v1`, the question who asks. With handlers that do nothing, what the benchmarks measure the API's
/// own work against.
pub fn guarded(app: App, open: Router<App>, v1: Router<App>) -> Router {
    // The inner fallbacks stand behind the token too: who has none learns not even what there is.
    let v1 = v1
        .method_not_allowed_fallback(wrong_method)
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(app.clone(), authorize));
    let routes = open.nest("/v1", v1).method_not_allowed_fallback(wrong_method).fallback(not_found);
    let most = usize::try_from(app.http().body_kib).unwrap_or(usize::MAX).saturating_mul(1 << 10);
    routes.layer(DefaultBodyLimit::max(most)).layer(middleware::from_fn_with_state(app.clone(), guard)).with_state(app)
}

/// The API's description (OpenAPI 3.1), as it is served and committed.
///
/// # Errors
/// Fails where it cannot be written as JSON.
pub fn openapi() -> crate::Result<String> {
    let text = described().2.to_pretty_json();
    text.map(|text| text + "\n").map_err(|error| crate::Error::failed("the API's description").because(error))
}

async fn not_found(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at {}", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
}
