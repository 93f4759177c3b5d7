//! `POST /v1/workspaces/{id}/suspend`.

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::create::begun;
use super::{Begun, passable};
use crate::accounts::policy::Permission;
use crate::api::app::placement;
use crate::api::caller::Caller;
use crate::api::extract::{Body, Path};
use crate::api::once::begin;
use crate::api::work::to_value;
use crate::api::{App, Problem};
use crate::fleet::ProviderKind;
use crate::id::WorkspaceId;
use crate::workflow::flows::suspend::Asked;
use crate::workflow::flows::{Params, suspend as flow};

/// Why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Suspend {
    /// In words for the workspace's members.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

/// Stops a workspace's node, and keeps all that is on it, until the workspace is resumed
#[utoipa::path(
    post,
    path = "/workspaces/{id}/suspend",
    tag = "workspaces",
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same request with the same key gives the same answer"),
    ),
    request_body = Suspend,
    responses(
        (status = 202, body = Begun, headers(("Location" = String))),
        (status = 409, description = "There is no node that serves, or an earlier suspension, or a rebuild, is parked", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("workspace.suspend"))),
)]
pub(super) async fn suspend(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<WorkspaceId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::WorkspaceSuspend, Some(id)).await?;
    let Suspend { reason } = body.json()?;
    flow::check_reason(reason.as_deref())?;
    let (engine, asker, by) = (app.engine().clone(), caller.clone(), caller.suspender());
    let work = begin(&app, &caller, &headers, body.hash, move |tx| {
        Box::pin(async move {
            passable(tx, flow::KIND, id, by).await?;
            let (workspace, node) = flow::wish(tx, id, by, reason.clone()).await?;
            let params = to_value(&Asked { params: Params::of(&workspace, asker.actor()), by, reason })?;
            let (subject, placement) = (id.to_string(), placement(Some(&node), ProviderKind::Local));
            let workflow =
                engine.enqueue_in(tx, flow::KIND, &subject, params, workspace.revision_id, placement).await?;
            asker.entry("workspace.suspend", subject).detail("by", by.as_str()).append(tx).await?;
            begun(tx, workspace, workflow).await
        })
    });
    work.await
}
