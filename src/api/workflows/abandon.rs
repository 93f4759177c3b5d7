//! `POST /v1/workflows/{id}/abandon`.

use axum::extract::State;
use axum::{Extension, Json};

use super::{visible, workspace_of};
use crate::accounts::policy::Permission;
use crate::api::caller::Caller;
use crate::api::extract::Path;
use crate::api::views::WorkflowView;
use crate::api::{App, Problem};
use crate::id::WorkflowId;

/// Gives up a workflow that is parked, or that nobody works on: it counts as failed, and what it left behind is the operator's
#[utoipa::path(
    post,
    path = "/workflows/{id}/abandon",
    tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id")),
    responses((status = 200, body = WorkflowView), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("workflow.operate"))),
)]
pub(super) async fn abandon(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<WorkflowId>,
) -> Result<Json<WorkflowView>, Problem> {
    let workflow = visible(&app, &caller, id).await?;
    caller.may(&app, Permission::WorkflowOperate, workspace_of(&workflow)).await?;
    app.engine().as_actor(caller.actor()).abandon(id).await?;
    let workflow = app.store().read().await?.workflow(id).await?.unwrap_or(workflow);
    Ok(Json(WorkflowView::new(workflow, Vec::new())))
}
