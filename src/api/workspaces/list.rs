//! `GET /v1/workspaces`.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::accounts::policy::Permission;
use crate::api::caller::Caller;
use crate::api::extract::Query;
use crate::api::page::{Page, PageParams};
use crate::api::views::WorkspaceView;
use crate::api::{App, Problem};
use crate::store::{Workspace, WorkspacePage, WorkspaceState};

/// Which workspaces.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Those in this state; those that are `gone` only where it is asked for them.
    #[param(value_type = Option<String>)]
    state: Option<WorkspaceState>,
    /// The one with this slug.
    slug: Option<String>,
}

/// Lists workspaces, in the order of their making
#[utoipa::path(
    get,
    path = "/workspaces",
    tag = "workspaces",
    params(Filter, PageParams),
    responses((status = 200, body = Page<WorkspaceView>), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("workspace.read"))),
)]
pub(super) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(filter): Query<Filter>,
    Query(page): Query<PageParams>,
) -> Result<Json<Page<WorkspaceView>>, Problem> {
    let within = caller.sees(&app, Permission::WorkspaceRead).await?;
    let asked =
        WorkspacePage { after: page.after()?, state: filter.state, slug: filter.slug, within, limit: page.to_read()? };
    let mut reader = app.store().read().await?;
    let read = reader.workspaces_page(&asked).await?;
    let ids: Vec<_> = read.iter().map(|workspace| workspace.id).collect();
    let mut nodes = reader.nodes_of(&ids).await?;
    let view = |workspace: Workspace| {
        let node = nodes.remove(&workspace.id);
        WorkspaceView::new(workspace, node)
    };
    Ok(Json(page.page(read, |workspace| workspace.id.to_string(), view)))
}
