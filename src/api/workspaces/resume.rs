//! `POST /v1/workspaces/{id}/resume`.

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

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
use crate::workflow::flows::{Params, resume as flow};

/// Starts a suspended workspace's node again, brings it to what is declared now, and waits until it is healthy
#[utoipa::path(
    post,
    path = "/workspaces/{id}/resume",
    tag = "workspaces",
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same request with the same key gives the same answer"),
    ),
    responses(
        (status = 202, body = Begun, headers(("Location" = String))),
        (status = 409, description = "It is not suspended, operators suspended it and the caller is none, or an earlier resume is parked", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("workspace.suspend"))),
)]
pub(super) async fn resume(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<WorkspaceId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::WorkspaceSuspend, Some(id)).await?;
    let (revision, _) = app.desired().await?;
    let (engine, asker, by) = (app.engine().clone(), caller.clone(), caller.suspender());
    let work = begin(&app, &caller, &headers, body.hash, move |tx| {
        Box::pin(async move {
            passable(tx, flow::KIND, id, by).await?;
            let (workspace, node) = flow::asked(tx, id, by).await?;
            let params = to_value(&Asked { params: Params::of(&workspace, asker.actor()), by, reason: None })?;
            let (subject, placement) = (id.to_string(), placement(Some(&node), ProviderKind::Local));
            let workflow = engine.enqueue_in(tx, flow::KIND, &subject, params, Some(revision.id), placement).await?;
            asker.entry("workspace.resume", subject).detail("by", by.as_str()).append(tx).await?;
            begun(tx, workspace, workflow).await
        })
    });
    work.await
}
