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
    let workflow = app.store().read().await?.workflow(id).await?;
    let workspace = workflow.as_ref().and_then(workspace_of);
    caller.may(app, Permission::WorkflowRead, workspace).await.map_err(|problem| match problem.status {
        404 => missing(),
        _ => problem,
    })?;
    workflow.ok_or_else(missing)
}
