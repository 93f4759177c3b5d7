//! `POST /v1/workspaces/{id}/rebuild`.

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

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
use crate::store::ManagedBy;
use crate::workflow::flows::{Params, is_brought, rebuild as flow};
use crate::{Error, Result};

/// How a node is replaced.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rebuild {
    /// The old node is dead, or what is on it is not wanted: its data is lost, and its secrets are to be given again.
    #[serde(default)]
    #[schema(default = false)]
    lose_data: bool,
}

/// Replaces a workspace's node by a new one, with all that is on it
#[utoipa::path(
    post,
    path = "/workspaces/{id}/rebuild",
    tag = "nodes",
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same request with the same key gives the same answer"),
    ),
    request_body = Rebuild,
    responses(
        (status = 202, body = Begun, headers(("Location" = String))),
        (status = 409, description = "There is no node that serves, or another rebuild is under way", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("node.rebuild"))),
)]
pub(super) async fn rebuild(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<WorkspaceId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::NodeRebuild, Some(id)).await?;
    let Rebuild { lose_data } = body.json()?;
    let (revision, _) = app.desired().await?;
    let (engine, asker) = (app.engine().clone(), caller.clone());
    let work = begin(&app, &caller, &headers, body.hash, move |tx| {
        Box::pin(async move {
            let (workspace, node) = served(tx, id).await?;
            if is_brought(&node) {
                return Err(Error::conflict("the workspace's machine was brought, and there is no other")
                    .hint("set it up anew, then `stead down` and `stead up`"));
            }
            if lose_data && workspace.managed_by == ManagedBy::Files {
                return Err(Error::conflict("the secrets of this workspace lie in the operators' vault")
                    .hint(format!("an operator does this: `stead node rebuild {} --lose-data`", workspace.slug)));
            }
            let subject = id.to_string();
            let live = tx.live_workflow(flow::KIND, &subject).await?;
            if live.is_some_and(|live| live.params["lose_data"].as_bool().unwrap_or_default() != lose_data) {
                return Err(Error::conflict("another rebuild of this workspace's node is not over yet")
                    .hint("wait until it is; one that is parked is retried or abandoned by an operator"));
            }
            let params = to_value(&Params { lose_data, ..Params::of(&workspace, asker.actor()) })?;
            let placement = placement(Some(&node), ProviderKind::Local);
            let workflow = engine.enqueue_in(tx, flow::KIND, &subject, params, Some(revision.id), placement).await?;
            asker.entry("node.rebuild", subject).detail("data_lost", lose_data).append(tx).await?;
            begun(tx, workspace, workflow).await
        })
    });
    work.await
}
