//! `POST /v1/fleet/up`.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{App, Problem};
use crate::accounts::policy::Permission;
use crate::api::app::{Flows, placement};
use crate::api::caller::Caller;
use crate::api::extract::Body;
use crate::api::once::{Created, begin};
use crate::api::views::{WorkflowView, WorkspaceView};
use crate::api::work::{enqueued, to_value};
use crate::id::RevisionId;
use crate::store::{Tx, WorkspaceState};
use crate::workflow::flows::{Desired, Params, converge, deprovision, provision, publish, suspend};
use crate::{Error, Result};

/// The most workspaces that are named in one request.
const MOST: usize = 500;

/// What is to be brought up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewUp)]
pub(super) struct Up {
    /// The slugs of workspaces that the revision declares.
    #[schema(min_items = 1, max_items = 500)]
    workspaces: Vec<String>,
    /// The revision that they are brought to.
    #[schema(value_type = String, example = "rv_01jd8x1s3ve5fs9v2t5g7qk0mz")]
    revision: RevisionId,
}

/// What was begun.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UpBegun)]
pub(super) struct Begun {
    workspaces: Vec<Brought>,
}

/// What was begun for one workspace.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BroughtUp)]
pub(super) struct Brought {
    workspace: WorkspaceView,
    /// Its workflows, in the order in which they run.
    workflows: Vec<WorkflowView>,
}

/// Brings workspaces that the fleet's files declare up, and to what is declared for them
#[utoipa::path(
    post,
    path = "/fleet/up",
    tag = "fleet",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same request with the same key gives the same answer")),
    request_body = Up,
    responses(
        (status = 202, body = Begun),
        (status = 409, description = "A workspace is suspended, or being ended", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The revision does not declare a workspace, or this version cannot make its node", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("fleet.change"))),
)]
pub(super) async fn up(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::FleetChange, None).await?;
    let Up { workspaces: slugs, revision } = body.json()?;
    if slugs.is_empty() || slugs.len() > MOST {
        return Err(Error::input(format!("name 1 to {MOST} workspaces")).into());
    }
    if app.store().read().await?.revision(revision).await?.is_none() {
        return Err(Error::input(format!("there is no revision {revision}")).into());
    }
    let desired = app.platform().desired(app.store(), Some(revision)).await?;
    let (engine, asker) = (app.engine().clone(), caller.clone());
    let work = begin(&app, &caller, &headers, body.hash, move |tx| {
        Box::pin(async move {
            let mut workspaces = Vec::new();
            for slug in &slugs {
                workspaces.push(bring(tx, &engine, &asker, &desired, slug, revision).await?);
            }
            Created::new(StatusCode::ACCEPTED, &Begun { workspaces })
        })
    });
    work.await
}

/// Enqueues what brings one workspace up. What works on it already comes first: flows of one workspace take turns.
async fn bring(
    tx: &mut Tx,
    engine: &Flows,
    caller: &Caller,
    desired: &Desired,
    slug: &str,
    revision: RevisionId,
) -> Result<Brought> {
    let kind = desired.drivable(slug)?;
    let tier = &desired.workspace(slug)?.1.name;
    let entry = |action: &str, target: String| caller.entry(action, target);
    let workspace = publish::reconcile(tx, slug, tier, revision, &entry).await?;
    suspend::refuse(&workspace)?;
    let subject = workspace.id.to_string();
    if workspace.state == WorkspaceState::Deprovisioning && is_ended(tx, &subject).await? {
        return Err(Error::conflict(format!("the workspace {slug:?} is being ended"))
            .hint("bring it up again when that is over: `stead workflow list` shows it"));
    }
    let node = tx.node_of(workspace.id).await?;
    let place = placement(node.as_ref(), kind);
    let unfinished = tx.live_workflow(provision::KIND, &subject).await?;
    let going = tx.live_workflow(deprovision::KIND, &subject).await?;
    if let (Some(made), Some(going)) = (&unfinished, &going)
        && made.id < going.id
    {
        return Err(Error::conflict(format!("the node of {slug:?} is being taken down, and is not made yet"))
            .hint("bring it up again when that is over: `stead workflow list` shows it"));
    }
    let goes = going.is_some();
    let params = to_value(&Params::of(&workspace, caller.actor()))?;
    let mut workflows = Vec::new();
    if node.is_none() || unfinished.is_some() || goes {
        // Where another node is to come, any host may make it.
        let place = if goes { placement(None, kind) } else { place.clone() };
        let made = engine.enqueue_in(tx, provision::KIND, &subject, params.clone(), Some(revision), place);
        let made = made.await?;
        workflows.push(enqueued(tx, made).await?);
    }
    // What an earlier request began goes on with what was declared then.
    let is_behind = unfinished.is_some_and(|unfinished| unfinished.revision_id != Some(revision));
    if workflows.is_empty() || is_behind {
        let made = engine.enqueue_another_in(tx, converge::KIND, &subject, params, Some(revision), place);
        let made = made.await?;
        workflows.push(enqueued(tx, made).await?);
    }
    caller.entry("workspace.up", subject).append(tx).await?;
    Ok(Brought { workspace: WorkspaceView::new(workspace, node), workflows })
}

/// Whether the workspace ends with its node.
async fn is_ended(tx: &mut Tx, subject: &str) -> Result<bool> {
    let ending = tx.live_workflow(deprovision::KIND, subject).await?;
    Ok(ending.is_some_and(|ending| ending.params["ends"].as_bool().unwrap_or_default()))
}
