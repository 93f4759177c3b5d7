//! `DELETE /v1/workspaces/{id}`.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::{Begun, missing};
use crate::accounts::policy::Permission;
use crate::api::app::{Flows, placement};
use crate::api::caller::Caller;
use crate::api::conditional::Expected;
use crate::api::extract::Path;
use crate::api::views::WorkspaceView;
use crate::api::work::{enqueued, to_value};
use crate::api::{App, Problem};
use crate::fleet::ProviderKind;
use crate::id::{WorkflowId, WorkspaceId};
use crate::store::{ManagedBy, Placement, Tx, Workspace, WorkspaceState};
use crate::workflow::flows::{Params, deprovision, provision, resume};
use crate::{Error, Result};

/// Ends a workspace: its node is wiped and destroyed, and its slug is free again
#[utoipa::path(
    delete,
    path = "/workspaces/{id}",
    tag = "workspaces",
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what you have read"),
    ),
    responses(
        (status = 202, body = Begun),
        (status = 409, description = "The fleet's files declare it, or operators suspended it and the caller is none", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("workspace.delete"))),
)]
pub(super) async fn delete(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<WorkspaceId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::WorkspaceDelete, Some(id)).await?;
    let expected = Expected::read(&headers)?.unwrap_or(Expected::Any);
    let (engine, (_, declared)) = (app.engine().clone(), app.desired().await?);
    let deleted = app.store().write(move |tx| {
        Box::pin(async move {
            let found = tx.workspace(id).await?.filter(|workspace| workspace.state != WorkspaceState::Gone);
            let Some(mut workspace) = found else { return Ok(Err(missing(id))) };
            if let Err(problem) = expected.check(workspace.version) {
                return Ok(Err(problem));
            }
            resume::may_lift(&workspace, caller.suspender())?;
            // One that is taken out of the files is destroyed by nothing else once the store is shared.
            if workspace.managed_by == ManagedBy::Files && declared.fleet.workspace(&workspace.slug).is_some() {
                return Err(Error::conflict("the fleet's files declare this workspace")
                    .hint("take it out of the files and publish them; `stead down` takes its node alone"));
            }
            // What takes the node down now leaves the workspace, and would be taken for what ends it.
            let live = tx.live_workflow(deprovision::KIND, &id.to_string()).await?;
            if live.is_some_and(|live| !live.params["ends"].as_bool().unwrap_or_default()) {
                return Err(
                    Error::conflict("the workspace's node is being taken down").hint("end it when that is over")
                );
            }
            let node = tx.node_of(id).await?;
            let params = Params { ends: true, ..Params::of(&workspace, caller.actor()) };
            let (subject, workflow) = (id.to_string(), end_node(tx, &engine, &workspace, &params).await?);
            if workspace.state != WorkspaceState::Deprovisioning {
                workspace.state = WorkspaceState::Deprovisioning;
                tx.update_workspace(&workspace).await?;
                caller.entry("workspace.delete", subject).append(tx).await?;
            }
            let workspace = tx.workspace(id).await?.unwrap_or(workspace);
            let workflow = enqueued(tx, workflow).await?;
            Ok(Ok(Begun { workspace: WorkspaceView::new(workspace, node), workflow }))
        })
    });
    let begun = deleted.await??;
    app.store().tell_of_work();
    Ok((StatusCode::ACCEPTED, axum::Json(begun)).into_response())
}

/// Enqueues the end of a workspace's node.
pub(super) async fn end_node(
    tx: &mut Tx,
    engine: &Flows,
    workspace: &Workspace,
    params: &Params,
) -> Result<WorkflowId> {
    let subject = workspace.id.to_string();
    let placement = match &tx.node_of(workspace.id).await? {
        Some(node) => placement(Some(node), ProviderKind::Local),
        // One may be made while this waits for its turn; whoever takes this on finds out where.
        None => {
            let making = tx.live_workflow(provision::KIND, &subject).await?;
            Placement { needs: making.and_then(|making| making.needs), host: None }
        }
    };
    engine.enqueue_in(tx, deprovision::KIND, &subject, to_value(params)?, workspace.revision_id, placement).await
}
