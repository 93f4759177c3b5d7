//! Nodes.

use axum::extract::State;
use axum::{Extension, Json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Caller;
use super::extract::{Path, Query};
use super::page::{Page, PageParams};
use super::views::NodeView;
use super::{App, Problem};
use crate::accounts::policy::Permission;
use crate::id::NodeId;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

/// Lists the nodes that are not gone, in the order of their making
#[utoipa::path(
    get,
    path = "/nodes",
    tag = "nodes",
    params(PageParams),
    responses((status = 200, body = Page<NodeView>), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("node.read"))),
)]
async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(page): Query<PageParams>,
) -> Result<Json<Page<NodeView>>, Problem> {
    caller.may(&app, Permission::NodeRead, None).await?;
    let read = app.store().read().await?.nodes_page(page.after()?, page.to_read()?).await?;
    Ok(Json(page.page(read, |node| node.id.to_string(), NodeView::from)))
}

/// Shows a node
#[utoipa::path(
    get,
    path = "/nodes/{id}",
    tag = "nodes",
    params(("id" = String, Path, description = "The node's id")),
    responses((status = 200, body = NodeView), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("node.read"))),
)]
async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<NodeId>,
) -> Result<Json<NodeView>, Problem> {
    caller.may(&app, Permission::NodeRead, None).await?;
    let node = app.store().read().await?.node(id).await?;
    let node = node.ok_or_else(|| Problem::not_found(format!("there is no node {id}")))?;
    Ok(Json(NodeView::from(node)))
}
