//! `GET /v1/workspaces/{id}`.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;

use super::{missing, tagged};
use crate::accounts::policy::Permission;
use crate::api::caller::Caller;
use crate::api::extract::Path;
use crate::api::views::WorkspaceView;
use crate::api::{App, Problem};
use crate::id::WorkspaceId;

/// Shows a workspace with its node
#[utoipa::path(
    get,
    path = "/workspaces/{id}",
    tag = "workspaces",
    params(("id" = String, Path, description = "The workspace's id")),
    responses((status = 200, body = WorkspaceView, headers(("ETag" = String))), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("workspace.read"))),
)]
pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<WorkspaceId>,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::WorkspaceRead, Some(id)).await?;
    let (workspace, node) = app.store().workspace_with_node(id).await?.ok_or_else(|| missing(id))?;
    Ok(tagged(workspace, node))
}
