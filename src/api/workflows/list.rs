//! `GET /v1/workflows`.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::accounts::policy::Permission;
use crate::api::caller::Caller;
use crate::api::extract::Query;
use crate::api::page::{Page, PageParams};
use crate::api::views::WorkflowView;
use crate::api::{App, Problem};
use crate::store::{WorkflowPage, WorkflowState};

/// Which workflows.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Those in this state.
    #[param(value_type = Option<String>)]
    state: Option<WorkflowState>,
    /// Those of this kind (`provision`).
    kind: Option<String>,
    /// Those about this: an id.
    subject: Option<String>,
}

/// Lists workflows, the latest first
#[utoipa::path(
    get,
    path = "/workflows",
    tag = "workflows",
    params(Filter, PageParams),
    responses((status = 200, body = Page<WorkflowView>), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("workflow.read"))),
)]
pub(super) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(filter): Query<Filter>,
    Query(page): Query<PageParams>,
) -> Result<Json<Page<WorkflowView>>, Problem> {
    let within = caller.sees(&app, Permission::WorkflowRead).await?;
    let within = within.map(|ids| ids.iter().map(ToString::to_string).collect::<Vec<_>>());
    let subjects = match (within, filter.subject) {
        (within, None) => within,
        (Some(within), Some(asked)) => Some(within.into_iter().filter(|subject| *subject == asked).collect()),
        (None, Some(asked)) => Some(vec![asked]),
    };
    let asked = WorkflowPage {
        before: page.after()?,
        state: filter.state,
        kind: filter.kind,
        subjects,
        limit: page.to_read()?,
    };
    let read = app.store().read().await?.workflows_page(&asked).await?;
    let view = |workflow| WorkflowView::new(workflow, Vec::new());
    Ok(Json(page.page(read, |workflow| workflow.id.to_string(), view)))
}
