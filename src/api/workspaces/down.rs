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
use crate::api::app::Flows;
use crate::api::caller::Caller;
use crate::api::extract::{Body, Path};
use crate::api::once::begin;
use crate::api::{App, Problem};
use crate::id::WorkspaceId;
use crate::store::{ManagedBy, Tx, WorkspaceState};
use crate::workflow::Mend;
use crate::workflow::flows::{
    Params, check, converge, deprovision, is_brought, provision, rebuild, resume, rotate_identity, suspend,
};
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
        (status = 409, description = "There is no node, or no file declares the workspace", body = Problem, content_type = "application/problem+json"),
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
    let (engine, asker) = (app.engine().as_actor(caller.actor()), caller.clone());
    let work = begin(&app, &caller, &headers, body.hash, move |tx| {
        Box::pin(async move {
            let none = || Error::conflict("there is no node to take down");
            let found = tx.workspace(id).await?.filter(|workspace| workspace.state != WorkspaceState::Gone);
            let workspace = found.ok_or_else(none)?;
            if workspace.managed_by == ManagedBy::Api {
                return Err(Error::conflict("no file declares this workspace, so nothing would bring it up again")
                    .hint(
                        "end it with its node: DELETE, or `stead workspace delete`; or suspend it, which keeps all",
                    ));
            }
            let (subject, nodes) = (id.to_string(), tx.all_nodes_of(id).await?);
            if nodes.is_empty() && tx.live_workflow(provision::KIND, &subject).await?.is_none() {
                return Err(none());
            }
            if gone && nodes.iter().any(|node| !is_brought(node)) {
                return Err(Error::conflict("the workspace's machine was not brought: Stead made it")
                    .hint("leave `gone` out: a machine that is not there any more counts as destroyed"));
            }
            clear(tx, &engine, &subject, gone).await?;
            let params = Params { gone, ..Params::of(&workspace, asker.actor()) };
            let workflow = end_node(tx, &engine, &workspace, &params).await?;
            asker.entry("workspace.down", subject).append(tx).await?;
            begun(tx, workspace, workflow).await
        })
    });
    work.await
}

/// Ends what else waits to work on the workspace's node: it must not stand in the way of the next node, nor go on with that. What
/// runs at this moment comes first.
async fn clear(tx: &mut Tx, engine: &Flows, subject: &str, gone: bool) -> Result<()> {
    const REASON: &str = "its node was taken down";
    for kind in [converge::KIND, check::KIND, rotate_identity::KIND, rebuild::KIND, suspend::KIND, resume::KIND] {
        while let Some(live) = tx.live_workflow(kind, subject).await? {
            if !engine.mend_in(tx, live, Mend::Close(REASON)).await? {
                break;
            }
        }
    }
    if let Some(live) = tx.live_workflow(provision::KIND, subject).await? {
        engine.mend_in(tx, live, Mend::TurnBack("it was taken down before it was up")).await?;
    }
    // What waits for a machine that is gone for good waits in vain.
    if gone
        && let Some(live) = tx.live_workflow(deprovision::KIND, subject).await?
        && !live.params["gone"].as_bool().unwrap_or_default()
    {
        engine.mend_in(tx, live, Mend::Abandon).await?;
    }
    Ok(())
}
