//! Workspaces: one file per verb.

mod change;
mod converge;
mod create;
mod delete;
mod down;
mod list;
mod rebuild;
mod resume;
mod rotate_identity;
mod show;
mod suspend;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use self::create::check_name;
use super::conditional::etag;
use super::views::{WorkflowView, WorkspaceView};
use super::{App, Problem};
use crate::id::WorkspaceId;
use crate::store::{Node, Suspender, Tx, WorkflowState, Workspace, WorkspaceState};
use crate::workflow::flows;
use crate::workflow::flows::suspend::refuse;
use crate::{Error, Result};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(show::show, change::change, delete::delete))
        .routes(routes!(rotate_identity::rotate_identity))
        .routes(routes!(rebuild::rebuild))
        .routes(routes!(converge::converge))
        .routes(routes!(down::down))
        .routes(routes!(suspend::suspend))
        .routes(routes!(resume::resume))
}

/// What a change that takes long gives: the workspace, and the workflow to watch.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Begun {
    pub(super) workspace: WorkspaceView,
    pub(super) workflow: WorkflowView,
}

/// A workspace with its tag.
fn tagged(workspace: Workspace, node: Option<Node>) -> Response {
    let tag: HeaderValue = etag(workspace.version);
    ([(header::ETAG, tag)], axum::Json(WorkspaceView::new(workspace, node))).into_response()
}

/// Refuses to answer with a workflow that is live already and would not do what is asked: one that waits for a person, and a
/// customer's `resume`, which lifts nothing that operators said.
async fn passable(tx: &mut Tx, kind: &str, id: WorkspaceId, by: Suspender) -> Result<()> {
    let Some(live) = tx.live_workflow(kind, &id.to_string()).await? else { return Ok(()) };
    if live.state == WorkflowState::Parked {
        return Err(Error::conflict(format!("an earlier {kind} of this workspace is parked")).hint(format!(
            "an operator takes it on: `stead workflow retry {0}`, or `stead workflow abandon {0}`",
            live.id
        )));
    }
    let is_customers = live.params["by"] == Suspender::Customer.as_str();
    if kind == flows::resume::KIND && by == Suspender::Operator && is_customers {
        return Err(Error::conflict("a customer's resume of this workspace is not over yet").hint("wait until it is"));
    }
    Ok(())
}

/// The workspace, and its node, which serves. Held, so that of two requests the second sees what the first has written.
pub(super) async fn served(tx: &mut Tx, id: WorkspaceId) -> Result<(Workspace, Node)> {
    let none =
        || Error::conflict("there is no node yet that serves this workspace").hint("wait until the workspace is ready");
    let workspace = tx.workspace(id).await?.ok_or_else(none)?;
    refuse(&workspace)?;
    if workspace.suspension.is_some() {
        let error = format!("the workspace {:?} is about to be suspended, or resumed", workspace.slug);
        return Err(
            Error::conflict(error).hint("`stead workspace resume` comes first, where that does not end by itself")
        );
    }
    let node = serving(tx, &workspace).await?.ok_or_else(none)?;
    Ok((workspace, node))
}

/// The workspace's node, where it serves, and secrets can be sealed for it.
pub(super) async fn serving(tx: &mut Tx, workspace: &Workspace) -> Result<Option<Node>> {
    let serves = matches!(workspace.state, WorkspaceState::Ready | WorkspaceState::Degraded);
    Ok(sealable(tx, workspace).await?.filter(|_| serves))
}

/// The workspace's node, where secrets can be sealed for it.
pub(super) async fn sealable(tx: &mut Tx, workspace: &Workspace) -> Result<Option<Node>> {
    let node = tx.node_of(workspace.id).await?;
    Ok(node.filter(|node| node.verified && node.recipient.is_some()))
}

pub(super) fn missing(id: WorkspaceId) -> Problem {
    Problem::not_found(format!("there is no workspace {id}"))
}
