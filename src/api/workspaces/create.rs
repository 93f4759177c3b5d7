//! `POST /v1/workspaces`.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Begun;
use crate::accounts::membership;
use crate::accounts::policy::Permission;
use crate::api::app::placement;
use crate::api::caller::Caller;
use crate::api::extract::Body;
use crate::api::once::{Created, begin};
use crate::api::views::WorkspaceView;
use crate::api::work::{enqueued, to_value};
use crate::api::{App, Problem};
use crate::fleet::name;
use crate::id::WorkflowId;
use crate::store::{ManagedBy, Tx, Workspace};
use crate::workflow::flows::{Params, provision};
use crate::{Error, Result};

/// The longest name.
pub(super) const NAME: usize = 100;

/// A workspace to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewWorkspace)]
pub(super) struct New {
    /// Its name in DNS: a label of lower-case letters, digits and hyphens.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", example = "acme")]
    slug: String,
    /// One of the fleet's tiers.
    #[schema(example = "starter")]
    tier: String,
    /// What people call it.
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
}

/// Makes a workspace, and begins to make its node
#[utoipa::path(
    post,
    path = "/workspaces",
    tag = "workspaces",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same request with the same key gives the same answer")),
    request_body = New,
    responses(
        (status = 202, body = Begun, headers(("Location" = String))),
        (status = 409, description = "The slug is taken", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("workspace.create"))),
)]
pub(super) async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::WorkspaceCreate, None).await?;
    let new: New = body.json()?;
    name::check_slug(&new.slug)?;
    check_name(new.name.as_deref())?;
    let (revision, desired) = app.desired().await?;
    let kind = desired.made_at(&new.slug, &new.tier)?;
    let (engine, asker) = (app.engine().clone(), caller.clone());
    let most = app.accounts().workspaces;
    let work = begin(&app, &caller, &headers, body.hash, move |tx| {
        Box::pin(async move {
            let mut workspace = Workspace::new(new.slug, new.tier, ManagedBy::Api, tx.now());
            workspace.name = new.name;
            workspace.revision_id = Some(revision.id);
            tx.insert_workspace(&workspace).await?;
            if let Some(person) = asker.principal.person() {
                membership::found(tx, workspace.id, person, most).await?;
            }
            let params = to_value(&Params::of(&workspace, asker.actor()))?;
            let (subject, placement) = (workspace.id.to_string(), placement(None, kind));
            let workflow =
                engine.enqueue_in(tx, provision::KIND, &subject, params, Some(revision.id), placement).await?;
            asker.entry("workspace.create", &subject).detail("slug", workspace.slug.as_str()).append(tx).await?;
            begun(tx, workspace, workflow).await
        })
    });
    work.await
}

/// The answer: the workspace, and the workflow to watch.
pub(super) async fn begun(tx: &mut Tx, workspace: Workspace, workflow: WorkflowId) -> Result<Created> {
    let location = format!("/v1/workspaces/{}", workspace.id);
    let node = tx.node_of(workspace.id).await?;
    let begun = Begun { workspace: WorkspaceView::new(workspace, node), workflow: enqueued(tx, workflow).await? };
    Ok(Created::new(StatusCode::ACCEPTED, &begun)?.at(location))
}

/// Refuses a name that no list could show.
///
/// # Errors
/// Fails where it is empty, longer than 100 characters, or has characters that cannot be seen.
pub fn check_name(name: Option<&str>) -> Result<()> {
    match name {
        Some(name) if name.trim().is_empty() || name.chars().count() > NAME || name.chars().any(char::is_control) => {
            Err(Error::input(format!("a name has 1 to {NAME} characters, all of them visible")))
        }
        _ => Ok(()),
    }
}
