//! Secrets: given, and never shown. What is kept of one is a fingerprint, a version, and when the node acknowledged it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::placement;
use super::caller::Caller;
use super::extract::{Body, Path};
use super::page::Page;
use super::views::{SecretView, WorkflowView};
use super::work::{enqueued, to_value};
use super::workspaces::{missing, sealable, serving};
use super::{App, Problem};
use crate::accounts::policy::{self, Decision, Permission};
use crate::fleet::ProviderKind;
use crate::fleet::name::check_secret;
use crate::id::WorkspaceId;
use crate::redact::Secret;
use crate::secrets::seal::{Destination, seal};
use crate::store::{EnvelopeRecord, ManagedBy, Node, SecretRecord, Tx, WorkflowState, Workspace, WorkspaceState};
use crate::workflow::flows::deliver::{self, Given};
use crate::workflow::flows::{Params, rebuild, resume, suspend};
use crate::{Error, Result};

/// The longest value that is taken, in bytes.
const LARGEST: usize = 32 << 10;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(put, remove))
}

/// Lists what is known of a workspace's secrets: no values
#[utoipa::path(
    get,
    path = "/workspaces/{id}/secrets",
    tag = "secrets",
    params(("id" = String, Path, description = "The workspace's id")),
    responses((status = 200, body = Page<SecretView>), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("secret.read"))),
)]
async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<WorkspaceId>,
) -> Result<Json<Page<SecretView>>, Problem> {
    caller.may(&app, Permission::SecretRead, Some(id)).await?;
    let secrets = app.store().read().await?.secrets(id).await?;
    let known = secrets.into_iter().filter(|secret| !secret.is_removed());
    Ok(Json(Page { items: known.map(SecretView::from).collect(), next: None }))
}

/// A value.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SecretValue {
    /// The value; 1 byte to 32 KiB of UTF-8.
    #[schema(min_length = 1, write_only)]
    value: String,
}

/// What was begun.
#[derive(Debug, Serialize, ToSchema)]
struct SecretBegun {
    secret: SecretView,
    workflow: WorkflowView,
}

/// Gives a secret a value: it is sealed for the workspace's node before anything is written, and brought there
#[utoipa::path(
    put,
    path = "/workspaces/{id}/secrets/{name}",
    tag = "secrets",
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("name" = String, Path, description = "The secret's name, as `OPENAI_API_KEY`"),
    ),
    request_body = SecretValue,
    responses(
        (status = 202, body = SecretBegun),
        (status = 409, description = "There is no node yet", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("secret.manage"))),
)]
async fn put(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((id, name)): Path<(WorkspaceId, String)>,
    body: Body,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::SecretManage, Some(id)).await?;
    app.store().read().await?.workspace(id).await?.ok_or_else(|| missing(id))?;
    check_secret(&name)?;
    // What is wrong with it must not be told in its own words.
    let malformed = |mut problem: Problem| {
        problem.detail = "the body must be {\"value\": \"…\"}".into();
        problem
    };
    let value = body.json::<SecretValue>().map_err(malformed)?.value;
    // Before it is one: what is known as a secret is masked in every line of the log.
    if value.len() > LARGEST {
        let error = Error::input(format!("the value of {name} has {} bytes", value.len()));
        return Err(error.hint(format!("give a value of 1 to {LARGEST} bytes")).into());
    }
    let value = Secret::new(value.into_bytes());
    let (engine, platform) = (app.engine().clone(), app.platform().clone());
    let is_operators = policy::decide(&caller.principal, Permission::FleetChange, None) == Decision::Allowed;
    let begun = app.store().write(move |tx| {
        Box::pin(async move {
            let (workspace, node) = holder(tx, id).await?;
            if workspace.managed_by == ManagedBy::Files && !is_operators {
                return Err(declared(&workspace));
            }
            let recipient = node.recipient.as_deref().ok_or_else(no_node)?;
            let before = tx.secret(id, &name).await?;
            let version = before.as_ref().map_or(1, |before| before.version + 1);
            let destination = Destination {
                fleet: &platform.fleet_id,
                workspace: id,
                node: node.id,
                recipient,
                name: &name,
                version,
            };
            let sealed = seal(&value, &destination, &platform.keys)?;
            drop(value);
            let now = tx.now();
            let secret = sealed.record(&destination, before, now);
            tx.put_secret(&secret).await?;
            // Older values are of no use to anybody.
            tx.acknowledge_envelope(node.id, &name, version).await?;
            let expires_at = now + chrono::TimeDelta::seconds(deliver::TIME_TO_LIVE);
            let envelope = EnvelopeRecord { node_id: node.id, name, version, envelope: sealed.envelope, expires_at };
            tx.put_envelope(&envelope).await?;
            let given = Given { params: Params::of(&workspace, caller.actor()), name: envelope.name, version };
            let entry = caller.entry("secret.set", id.to_string()).detail("name", given.name.as_str());
            entry.detail("version", version).append(tx).await?;
            begin(tx, &engine, deliver::DELIVER, &workspace, &node, given, secret).await
        })
    });
    let begun = begun.await?;
    app.store().tell_of_work();
    Ok((StatusCode::ACCEPTED, Json(begun)).into_response())
}

/// Removes a secret, from the node as well
#[utoipa::path(
    delete,
    path = "/workspaces/{id}/secrets/{name}",
    tag = "secrets",
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("name" = String, Path, description = "The secret's name"),
    ),
    responses((status = 202, body = SecretBegun), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("secret.manage"))),
)]
async fn remove(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((id, name)): Path<(WorkspaceId, String)>,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::SecretManage, Some(id)).await?;
    app.store().read().await?.workspace(id).await?.ok_or_else(|| missing(id))?;
    let engine = app.engine().clone();
    let begun = app.store().write(move |tx| {
        Box::pin(async move {
            let (workspace, node) = holder(tx, id).await?;
            if workspace.managed_by == ManagedBy::Files {
                return Err(declared(&workspace));
            }
            let found = tx.secret(id, &name).await?.filter(|secret| !secret.is_removed());
            let Some(mut secret) = found else {
                return Ok(Err(Problem::not_found(format!("there is no secret {name:?}"))));
            };
            // Above the value's own, so that a delivery under way does not take it for still wanted.
            secret.version += 1;
            let version = secret.version;
            secret.remove();
            tx.put_secret(&secret).await?;
            tx.acknowledge_envelope(node.id, &name, version).await?;
            let entry = caller.entry("secret.remove", id.to_string()).detail("name", name.as_str());
            entry.detail("version", version).append(tx).await?;
            let given = Given { params: Params::of(&workspace, caller.actor()), name, version };
            begin(tx, &engine, deliver::REMOVE, &workspace, &node, given, secret).await.map(Ok)
        })
    });
    let begun = begun.await??;
    app.store().tell_of_work();
    Ok((StatusCode::ACCEPTED, Json(begun)).into_response())
}

/// The workspace, and its node, which is there to hold secrets. Held, so that of two requests the second sees what the first
/// has written.
async fn holder(tx: &mut Tx, id: WorkspaceId) -> Result<(Workspace, Node)> {
    let workspace = tx.workspace(id).await?.ok_or_else(no_node)?;
    let is_declared = workspace.managed_by == ManagedBy::Files;
    let resuming = tx.live_workflow(resume::KIND, &id.to_string()).await?;
    let resumes = is_declared && resuming.is_some_and(|resuming| resuming.state != WorkflowState::Parked);
    if !resumes {
        suspend::refuse(&workspace)?;
    }
    // What is sealed for a node that is about to go would not reach the one that takes its place.
    if tx.live_workflow(rebuild::KIND, &id.to_string()).await?.is_some() {
        return Err(Error::conflict("the workspace's node is being replaced").hint("give the value when that is over"));
    }
    // A node that is made of what files declare, or brought to it again, waits for the secrets that they name.
    let waits = resumes || is_declared && workspace.state == WorkspaceState::Provisioning;
    let node = if waits { sealable(tx, &workspace).await? } else { serving(tx, &workspace).await? };
    Ok((workspace, node.ok_or_else(no_node)?))
}

fn declared(workspace: &Workspace) -> Error {
    Error::conflict("the fleet's files declare this workspace, and its secrets").hint(format!(
        "an operator gives the value: `stead secret set {} NAME`; a secret goes by being taken out of the files",
        workspace.slug
    ))
}

fn no_node() -> Error {
    Error::conflict("there is no node yet that could hold secrets").hint("wait until the workspace is ready")
}

async fn begin(
    tx: &mut Tx,
    engine: &super::app::Flows,
    kind: &str,
    workspace: &Workspace,
    node: &Node,
    given: Given,
    secret: SecretRecord,
) -> Result<SecretBegun> {
    let params = to_value(&given)?;
    let (subject, placement) = (workspace.id.to_string(), placement(Some(node), ProviderKind::Local));
    let workflow = engine.enqueue_another_in(tx, kind, &subject, params, workspace.revision_id, placement).await?;
    Ok(SecretBegun { secret: SecretView::from(secret), workflow: enqueued(tx, workflow).await? })
}
