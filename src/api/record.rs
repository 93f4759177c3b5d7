//! `GET /v1/audit`: who did what.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Caller;
use super::extract::Query;
use super::page::{Page, PageParams};
use super::views::EntryView;
use super::{App, Problem};
use crate::accounts::policy::Permission;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(audit))
}

/// Which entries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// What was done to this: an id.
    target: Option<String>,
    /// What this actor did.
    actor: Option<String>,
}

/// Lists the audit log, the latest entry first; without personal data
#[utoipa::path(
    get,
    path = "/audit",
    tag = "record",
    params(Filter, PageParams),
    responses(
        (status = 200, body = Page<EntryView>),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("audit.read"))),
)]
async fn audit(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(filter): Query<Filter>,
    Query(page): Query<PageParams>,
) -> Result<Json<Page<EntryView>>, Problem> {
    caller.may(&app, Permission::AuditRead, None).await?;
    let (before, limit) = (page.after()?, page.to_read()?);
    let (target, actor) = (filter.target.as_deref(), filter.actor.as_deref());
    let read = app.store().read().await?.audit_page(before, target, actor, limit).await?;
    Ok(Json(page.page(read, |row| row.position.to_string(), EntryView::from)))
}
