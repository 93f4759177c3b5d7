//! Whether the program lives, and whether it is ready.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{App, Problem};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

/// That the program lives.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    status: &'static str,
    version: &'static str,
}

/// That the program can serve.
#[derive(Debug, Serialize, ToSchema)]
struct Ready {
    status: &'static str,
    /// How many workers have said lately that they live.
    workers: usize,
}

/// Says that the program lives; asks nothing of the database
#[utoipa::path(
    get, path = "/healthz", tag = "health",
    responses((status = 200, body = Health), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!(null))),
)]
pub(super) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok", version: crate::VERSION })
}

/// Says whether the program can serve: the database answers and belongs to a fleet, and a worker was seen within 30 seconds
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses((status = 200, body = Ready), (status = 503, body = Problem, content_type = "application/problem+json"), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!(null))),
)]
async fn readyz(State(app): State<App>) -> Result<Json<Ready>, Problem> {
    let not_ready = |detail: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry_after(5);
    let found = async {
        let mut reader = app.store().read().await?;
        let now = reader.shared_now().await?;
        Ok::<_, crate::Error>((reader.fleet().await?, reader.workers().await?, now))
    };
    let (fleet, workers, now) = found.await.map_err(|error| {
        tracing::error!(error = error.one_line(), "the store cannot be read");
        not_ready("the store cannot be read")
    })?;
    if fleet.is_none() {
        return Err(not_ready("the store belongs to no fleet yet"));
    }
    let seen = workers.iter().filter(|worker| worker.was_seen(now)).count();
    match seen {
        0 => Err(not_ready("no worker was seen lately").hint("start one: `stead worker`")),
        workers => Ok(Json(Ready { status: "ok", workers })),
    }
}
