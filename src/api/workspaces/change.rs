//! `PATCH /v1/workspaces/{id}`.

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::create::check_name;
use super::{missing, tagged};
use crate::accounts::policy::Permission;
use crate::api::caller::Caller;
use crate::api::conditional::Expected;
use crate::api::extract::{Body, Path};
use crate::api::views::WorkspaceView;
use crate::api::{App, Problem};
use crate::id::WorkspaceId;
use crate::store::WorkspaceState;

/// What changes; what is not named stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WorkspaceChange)]
pub(super) struct Change {
    /// What people call it.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
}

/// Changes a workspace's name
#[utoipa::path(
    patch,
    path = "/workspaces/{id}",
    tag = "workspaces",
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("If-Match" = String, Header, description = "The `ETag` of what you have read, or `*`"),
    ),
    request_body = Change,
    responses(
        (status = 200, body = WorkspaceView, headers(("ETag" = String))),
        (status = 412, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "If-Match is missing", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("workspace.change"))),
)]
pub(super) async fn change(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<WorkspaceId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::WorkspaceChange, Some(id)).await?;
    let expected = Expected::required(&headers)?;
    let Change { name } = body.json()?;
    check_name(Some(&name))?;
    let changed = app.store().write(move |tx| {
        Box::pin(async move {
            let found = tx.workspace(id).await?.filter(|workspace| workspace.state != WorkspaceState::Gone);
            let Some(mut workspace) = found else { return Ok(Err(missing(id))) };
            if let Err(problem) = expected.check(workspace.version) {
                return Ok(Err(problem));
            }
            workspace.name = Some(name);
            tx.update_workspace(&workspace).await?;
            caller.entry("workspace.change", id.to_string()).append(tx).await?;
            let changed = tx.workspace(id).await?.unwrap_or(workspace);
            Ok(Ok((changed, tx.node_of(id).await?)))
        })
    });
    let (workspace, node) = changed.await??;
    Ok(tagged(workspace, node))
}
