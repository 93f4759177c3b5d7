//! Secrets of workspaces that a control plane holds: sealed there for the node, before anything is written.

use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::api::views::{SecretView, WorkflowView, WorkspaceView};
use crate::cli::env::Env;
use crate::cli::follow::follow;
use crate::cli::plane::Plane;
use crate::client::Client;
use crate::id::WorkspaceId;
use crate::redact::Secret;
use crate::{Error, Result};

#[derive(Serialize)]
struct Value<'a> {
    value: &'a str,
}

/// What the server has begun.
#[derive(Deserialize)]
pub(in crate::cli) struct Begun {
    secret: SecretView,
    workflow: WorkflowView,
}

/// What is known of a workspace's secrets.
pub(super) async fn list(client: &Client, workspace: &WorkspaceView) -> Result<Vec<SecretView>> {
    client.list(&format!("/v1/workspaces/{}/secrets", workspace.id), &[], usize::MAX).await
}

/// Gives a secret its value, and waits until the node has it.
pub(super) async fn set(env: &Env, client: &Client, slug: &str, name: &str, value: &Secret) -> Result<SecretView> {
    let begun = put(client, there(client).named(slug).await?.id, name, value).await?;
    follow(env, client, slug, begun.workflow.id).await?;
    let workspace = there(client).named(slug).await?;
    let known = list(client, &workspace).await?.into_iter().find(|secret| secret.name == name);
    Ok(known.unwrap_or(begun.secret))
}

/// Has the server seal a value for the workspace's node.
pub(in crate::cli) async fn put(client: &Client, workspace: WorkspaceId, name: &str, value: &Secret) -> Result<Begun> {
    let text = std::str::from_utf8(value.expose()).map_err(|_| {
        Error::input(format!("the value of {name} is not UTF-8"))
            .hint("encode it, as base64, and decode it on the node")
    })?;
    client.put(&path(workspace, name), &Value { value: text }).await
}

/// Takes a secret's value away, and waits until the node has forgotten it.
pub(super) async fn remove(env: &Env, client: &Client, slug: &str, name: &str) -> Result<()> {
    let path = path(there(client).named(slug).await?.id, name);
    let begun: Begun = client.act(Method::DELETE, &path).await?;
    follow(env, client, slug, begun.workflow.id).await
}

fn path(workspace: WorkspaceId, name: &str) -> String {
    format!("/v1/workspaces/{workspace}/secrets/{name}")
}

/// Where these workspaces are.
pub(super) fn there(client: &Client) -> Plane {
    Plane::There(client.clone())
}
