//! Workflows: durable work, to be watched.

mod abandon;
mod events;
mod list;
mod retry;
mod show;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Caller;
use super::{App, Problem};
use crate::accounts::policy::Permission;
use crate::id::{WorkflowId, WorkspaceId};
use crate::store::WorkflowRecord;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(show::show))
        .routes(routes!(events::events))
        .routes(routes!(retry::retry))
        .routes(routes!(abandon::abandon))
}

/// The workspace that a workflow is about.
fn workspace_of(workflow: &WorkflowRecord) -> Option<WorkspaceId> {
    workflow.subject.parse().ok()
}

/// A workflow that the caller may see. Others are not told from those that are not there.
async fn visible(app: &App, caller: &Caller, id: WorkflowId) -> Result<WorkflowRecord, Problem> {
    let missing = || Problem::not_found(format!("there is no workflow {id}"));
    let Some(workflow) = app.store().read().await?.workflow(id).await? else { return Err(missing()) };
    let may = caller.may(app, Permission::WorkflowRead, workspace_of(&workflow)).await;
    may.map_err(|problem| if problem.status == 404 { missing() } else { problem })?;
    Ok(workflow)
}
