//! Workspaces: one file per verb.

mod change;
mod create;
mod delete;
mod list;
mod show;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) use self::create::check_name;
use super::conditional::etag;
use super::views::{WorkflowView, WorkspaceView};
use super::{App, Problem};
use crate::id::WorkspaceId;
use crate::store::{Node, Workspace};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list::list, create::create)).routes(routes!(
        show::show,
        change::change,
        delete::delete
    ))
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

pub(super) fn missing(id: WorkspaceId) -> Problem {
    Problem::not_found(format!("there is no workspace {id}"))
}
