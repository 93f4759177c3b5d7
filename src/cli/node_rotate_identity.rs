//! `stead node rotate-identity`: another age identity for a node.

use serde::Serialize;

use super::env::{Env, Held};
use super::follow::{Begun, follow};
use super::plane::Plane;
use super::work::Work;
use crate::client::Client;
use crate::id::NodeId;
use crate::store::Workspace;
use crate::workflow::flows::{deprovision, provision, rebuild, rotate_identity, suspend};
use crate::{Error, Result};

/// Gives the node of a workspace another identity, for which its secrets are sealed from then on
///
/// The secrets that the node holds stay as they are, and what is on its way to it is still taken. Run again, it goes on with a
/// rotation that was interrupted.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The workspace
    workspace: String,
}

#[derive(Serialize)]
struct Rotated {
    workspace: String,
    node: NodeId,
    recipient: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Fails where the workspace has no node, or the node does not answer; then it keeps the identity that it has.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    if let Some(client) = env.remote()? {
        return there(args, env, client).await;
    }
    let held = env.hold("stead node rotate-identity").await?;
    let workspace = served(&held, &args.workspace, (rebuild::KIND, "node rebuild")).await?;
    let work = Work::new(env, &held)?;
    let workflow = work.enqueue(rotate_identity::KIND, &workspace, workspace.revision_id).await?;
    work.run(vec![(workspace.slug.clone(), workflow)]).await?;
    let node = held.store.read().await?.node_of(workspace.id).await?;
    let node = node.ok_or_else(|| Error::failed(format!("the node of {:?} is gone", workspace.slug)))?;
    told(env, Rotated { workspace: workspace.slug, node: node.id, recipient: node.recipient })
}

async fn there(args: &Args, env: &Env, client: Client) -> Result<()> {
    let slug = args.workspace.as_str();
    let plane = Plane::There(client.clone());
    let workspace = plane.workspace(slug).await?.ok_or_else(|| without_node(slug))?;
    let begun: Begun =
        client.create(&format!("/v1/workspaces/{}/rotate-identity", workspace.id), &serde_json::json!({})).await?;
    follow(env, &client, slug, begun.workflow.id).await?;
    let node = plane.workspace(slug).await?.and_then(|workspace| workspace.node);
    let node = node.ok_or_else(|| Error::failed(format!("the node of {slug:?} is gone")))?;
    told(env, Rotated { workspace: slug.to_owned(), node: node.id, recipient: node.recipient })
}

fn told(env: &Env, rotated: Rotated) -> Result<()> {
    let recipient = rotated.recipient.as_deref().unwrap_or("nobody");
    let text = format!("{}: secrets are sealed for {recipient}\n", rotated.workspace);
    env.printer.data(&rotated, text)
}

/// The workspace, which has a node that nothing else is done to: `also` is what must not be unfinished beside the making and the
/// destroying of it, and the command that goes on with that.
///
/// # Errors
/// Fails where it has none, and where something is unfinished.
pub(super) async fn served(held: &Held, slug: &str, also: (&str, &str)) -> Result<Workspace> {
    let mut reader = held.store.read().await?;
    let Some(workspace) = reader.workspace_by_slug(slug).await? else {
        held.place.select(&[slug.to_owned()])?;
        return Err(without_node(slug));
    };
    suspend::refuse(&workspace)?;
    let subject = workspace.id.to_string();
    for (kind, command) in [(provision::KIND, "up"), (deprovision::KIND, "down"), also] {
        if reader.live_workflow(kind, &subject).await?.is_some() {
            return Err(Error::input(format!("the {kind} of {slug:?} is unfinished"))
                .hint(format!("`stead {command} {slug}` goes on with it")));
        }
    }
    match reader.node_of(workspace.id).await? {
        Some(_) => Ok(workspace),
        None => Err(without_node(slug)),
    }
}

pub(super) fn without_node(slug: &str) -> Error {
    Error::input(format!("workspace {slug:?} has no node")).hint(format!("`stead up {slug}` makes one"))
}
