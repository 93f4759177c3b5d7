//! `GET /v1/workflows/{id}`.

use axum::extract::State;
use axum::{Extension, Json};

use super::visible;
use crate::api::caller::Caller;
use crate::api::extract::Path;
use crate::api::views::WorkflowView;
use crate::api::{App, Problem};
use crate::id::WorkflowId;

/// Shows a workflow with its steps
#[utoipa::path(
    get,
    path = "/workflows/{id}",
    tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id")),
    responses((status = 200, body = WorkflowView), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("workflow.read"))),
)]
pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<WorkflowId>,
) -> Result<Json<WorkflowView>, Problem> {
    let workflow = visible(&app, &caller, id).await?;
    let steps = app.store().read().await?.steps(id).await?;
    Ok(Json(WorkflowView::new(workflow, steps)))
}
