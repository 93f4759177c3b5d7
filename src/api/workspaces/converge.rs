//! `POST /v1/workspaces/{id}/converge`.

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Begun;
use super::create::begun;
use crate::accounts::policy::Permission;
use crate::api::app::{Flows, placement};
use crate::api::caller::Caller;
use crate::api::extract::{Body, Path};
use crate::api::once::begin;
use crate::api::work::to_value;
use crate::api::{App, Problem};
use crate::fleet::ProviderKind;
use crate::id::{RevisionId, WorkflowId, WorkspaceId};
use crate::store::{ManagedBy, Tx, Workspace};
use crate::workflow::flows::converge::Given;
use crate::workflow::flows::{Choice, Desired, Params, check, converge as flow, publish, rebuild, suspend};
use crate::{Error, Result};

/// What is applied to a node, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Converge {
    /// Only tell what would change.
    #[serde(default)]
    #[schema(default = false)]
    check: bool,
    /// These playbooks in place of the tier's.
    #[serde(default)]
    playbooks: Vec<String>,
    /// Only the tasks with one of these tags.
    #[serde(default)]
    tags: Vec<String>,
    /// Variables that go before all others. They are recorded: no place for secrets.
    #[serde(default)]
    #[schema(value_type = Object)]
    vars: Map<String, Value>,
    /// Remove what the node's playbooks made and do not name any more.
    #[serde(default)]
    #[schema(default = false)]
    prune: bool,
    /// Go on where the last run of the same plan broke.
    #[serde(default)]
    #[schema(default = false)]
    resume: bool,
    /// How long the node waits for the confirmation of a change that could lock Stead out, in seconds; a minute where this is
    /// left out.
    #[schema(minimum = 5, maximum = 3600)]
    confirm_within: Option<u32>,
    /// The revision that is applied; the latest where this is left out.
    #[schema(value_type = Option<String>, example = "rv_01jd8x1s3ve5fs9v2t5g7qk0mz")]
    revision: Option<RevisionId>,
}

impl Converge {
    fn choice(self) -> Result<Choice> {
        if self.confirm_within.is_some_and(|seconds| !(5..=3600).contains(&seconds)) {
            return Err(Error::input("confirm_within is 5 to 3600 seconds"));
        }
        let others = !self.playbooks.is_empty() || !self.tags.is_empty() || !self.vars.is_empty();
        if (self.prune && others) || (self.resume && (others || self.prune || self.check)) {
            return Err(Error::input("`prune` and `resume` stand for the whole of a plan, and alone"));
        }
        Ok(Choice {
            playbooks: self.playbooks,
            tags: self.tags,
            vars: self.vars,
            diff: false,
            prune: self.prune,
            resume: self.resume,
            confirm_within: self.confirm_within.unwrap_or_default(),
        })
    }
}

/// Makes a workspace's node match its playbooks, or tells what that would change
#[utoipa::path(
    post,
    path = "/workspaces/{id}/converge",
    tag = "nodes",
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same request with the same key gives the same answer"),
    ),
    request_body = Converge,
    responses(
        (status = 202, body = Begun, headers(("Location" = String))),
        (status = 409, description = "There is no node, or it is suspended, or being replaced", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("fleet.change"))),
)]
pub(super) async fn converge(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<WorkspaceId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::FleetChange, Some(id)).await?;
    let asked: Converge = body.json()?;
    let (checks, named) = (asked.check, asked.revision);
    let choice = asked.choice()?;
    let (revision, desired) = match named {
        None => app.desired().await.map(|(revision, desired)| (revision.id, desired))?,
        Some(id) => {
            let found = app.store().read().await?.revision(id).await?;
            found.ok_or_else(|| Error::input(format!("there is no revision {id}")))?;
            (id, app.platform().desired(app.store(), Some(id)).await?)
        }
    };
    let (engine, asker) = (app.engine().clone(), caller.clone());
    let work = begin(&app, &caller, &headers, body.hash, move |tx| {
        Box::pin(async move {
            let kind = if checks { check::KIND } else { flow::KIND };
            let (workspace, workflow) = enqueue(tx, &engine, &asker, kind, id, &choice, (revision, &desired)).await?;
            begun(tx, workspace, workflow).await
        })
    });
    work.await
}

async fn enqueue(
    tx: &mut Tx,
    engine: &Flows,
    caller: &Caller,
    kind: &str,
    id: WorkspaceId,
    choice: &Choice,
    (revision, desired): (RevisionId, &Desired),
) -> Result<(Workspace, WorkflowId)> {
    let none = || Error::conflict("there is no node to converge");
    let mut workspace = tx.workspace(id).await?.ok_or_else(none)?;
    suspend::refuse(&workspace)?;
    let node = tx.node_of(id).await?.ok_or_else(none)?;
    let subject = id.to_string();
    if tx.live_workflow(rebuild::KIND, &subject).await?.is_some() {
        return Err(Error::conflict("the workspace's node is being replaced").hint("converge it when that is over"));
    }
    if workspace.managed_by == ManagedBy::Files {
        let declared = desired.workspace(&workspace.slug).map_err(|error| Error::input(error.to_string()))?.0;
        if kind == flow::KIND {
            let entry = |action: &str, target: String| caller.entry(action, target);
            workspace = publish::reconcile(tx, &workspace.slug, &declared.tier, revision, &entry).await?;
        }
    }
    let last = tx.last_workflow(kind, &subject).await?;
    let (choice, revision) = choice.resumed(last.as_ref(), Some(revision));
    let given = to_value(&Given { params: Params::of(&workspace, caller.actor()), choice })?;
    let place = placement(Some(&node), ProviderKind::Local);
    let workflow = engine.enqueue_another_in(tx, kind, &subject, given, revision, place).await?;
    if kind == flow::KIND {
        caller.entry("workspace.converge", subject).append(tx).await?;
    }
    Ok((workspace, workflow))
}
