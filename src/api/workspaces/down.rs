//! `POST /v1/workspaces/{id}/down`.

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Begun;
use super::create::begun;
use super::delete::end_node;
use crate::accounts::policy::Permission;
use crate::api::caller::Caller;
use crate::api::extract::{Body, Path};
use crate::api::once::once;
use crate::api::{App, Problem};
use crate::id::WorkspaceId;
use crate::store::{WorkflowState, WorkspaceState};
use crate::workflow::flows::{Params, deprovision, is_brought, provision};
use crate::{Error, Result};

/// How a node goes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Down {
    /// The machine, which people brought, is gone for good: it is forgotten without being given back.
    #[serde(default)]
    #[schema(default = false)]
    gone: bool,
}

/// Wipes and destroys a workspace's node; the workspace stays, and can be brought up again
#[utoipa::path(
    post,
    path = "/workspaces/{id}/down",
    tag = "nodes",
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same request with the same key gives the same answer"),
    ),
    request_body = Down,
    responses(
        (status = 202, body = Begun, headers(("Location" = String))),
        (status = 409, description = "There is no node", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("fleet.change"))),
)]
pub(super) async fn down(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<WorkspaceId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::FleetChange, Some(id)).await?;
    let Down { gone } = body.json()?;
    if gone {
        // What waits for a machine that is gone for good waits in vain.
        let waiting = app.store().read().await?.live_workflow(deprovision::KIND, &id.to_string()).await?;
        if let Some(waiting) = waiting.filter(|waiting| waiting.state == WorkflowState::Parked) {
            app.engine().as_actor(caller.actor()).abandon(waiting.id).await?;
        }
    }
    let (engine, asker) = (app.engine().clone(), caller.clone());
    let down = once(&app, &caller, &headers, body.hash, move |tx| {
        Box::pin(async move {
            let none = || Error::conflict("there is no node to take down");
            let found = tx.workspace(id).await?.filter(|workspace| workspace.state != WorkspaceState::Gone);
            let workspace = found.ok_or_else(none)?;
            let (subject, nodes) = (id.to_string(), tx.all_nodes_of(id).await?);
            if nodes.is_empty() && tx.live_workflow(provision::KIND, &subject).await?.is_none() {
                return Err(none());
            }
            if gone && nodes.iter().any(|node| !is_brought(node)) {
                return Err(Error::conflict("the workspace's machine was not brought: Stead made it")
                    .hint("leave `gone` out: a machine that is not there any more counts as destroyed"));
            }
            let params = Params { gone, ..Params::of(&workspace, asker.actor()) };
            let workflow = end_node(tx, &engine, &workspace, &params).await?;
            asker.entry("workspace.down", subject).append(tx).await?;
            begun(tx, workspace, workflow).await
        })
    });
    let answer = down.await?;
    app.store().tell_of_work();
    Ok(answer)
}
