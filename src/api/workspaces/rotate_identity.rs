//! `POST /v1/workspaces/{id}/rotate-identity`.

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::create::begun;
use super::{Begun, served};
use crate::accounts::policy::Permission;
use crate::api::app::placement;
use crate::api::caller::Caller;
use crate::api::extract::{Body, Path};
use crate::api::once::begin;
use crate::api::work::to_value;
use crate::api::{App, Problem};
use crate::fleet::ProviderKind;
use crate::id::WorkspaceId;
use crate::workflow::flows::{Params, rotate_identity as flow};

/// Gives a workspace's node another identity, for which secrets are sealed from then on
#[utoipa::path(
    post,
    path = "/workspaces/{id}/rotate-identity",
    tag = "nodes",
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same request with the same key gives the same answer"),
    ),
    responses(
        (status = 202, body = Begun, headers(("Location" = String))),
        (status = 409, description = "There is no node that serves", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("node.rotate"))),
)]
pub(super) async fn rotate_identity(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<WorkspaceId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::NodeRotate, Some(id)).await?;
    let (engine, asker) = (app.engine().clone(), caller.clone());
    let work = begin(&app, &caller, &headers, body.hash, move |tx| {
        Box::pin(async move {
            let (workspace, node) = served(tx, id).await?;
            let params = to_value(&Params::of(&workspace, asker.actor()))?;
            let (subject, placement) = (id.to_string(), placement(Some(&node), ProviderKind::Local));
            let workflow =
                engine.enqueue_in(tx, flow::KIND, &subject, params, workspace.revision_id, placement).await?;
            asker.entry("node.rotate_identity", subject).append(tx).await?;
            begun(tx, workspace, workflow).await
        })
    });
    work.await
}
