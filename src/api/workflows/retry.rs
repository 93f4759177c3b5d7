//! `POST /v1/workflows/{id}/retry`.

use axum::extract::State;
use axum::{Extension, Json};

use super::{visible, workspace_of};
use crate::accounts::policy::Permission;
use crate::api::caller::Caller;
use crate::api::extract::Path;
use crate::api::views::WorkflowView;
use crate::api::{App, Problem};
use crate::id::WorkflowId;

/// Makes a parked workflow go on, or begins a failed one anew under a new id, if none of its kind came after it
#[utoipa::path(
    post,
    path = "/workflows/{id}/retry",
    tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id")),
    responses((status = 200, body = WorkflowView), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("workflow.operate"))),
)]
pub(super) async fn retry(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<WorkflowId>,
) -> Result<Json<WorkflowView>, Problem> {
    let workflow = visible(&app, &caller, id).await?;
    caller.may(&app, Permission::WorkflowOperate, workspace_of(&workflow)).await?;
    let id = app.engine().as_actor(caller.actor()).retry(id).await?;
    app.store().tell_of_work();
    let workflow = app.store().read().await?.workflow(id).await?.unwrap_or(workflow);
    Ok(Json(WorkflowView::new(workflow, Vec::new())))
}
