//! `stead workspace delete`.

use std::io::IsTerminal;

use reqwest::Method;

use crate::api::views::WorkspaceView;
use crate::cli::down::{clear, confirm};
use crate::cli::env::Env;
use crate::cli::follow::{Begun, follow};
use crate::cli::plane::Plane;
use crate::cli::work::Work;
use crate::client::Client;
use crate::store::{ManagedBy, WorkflowRecord, WorkspaceState};
use crate::workflow::flows::deprovision;
use crate::{Error, Result};

/// Ends a workspace: its node is wiped and destroyed, and its slug is free again
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The workspace
    workspace: String,
    /// Without asking
    #[arg(short, long)]
    yes: bool,
}

/// Runs the command.
///
/// # Errors
/// Fails where there is no such workspace, the fleet's files declare it, nobody confirmed, or its node cannot be destroyed.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let slug = args.workspace.as_str();
    let plane = env.plane().await?;
    let workspace = plane.named(slug).await?;
    // A server knows whether the files that were published last still declare it.
    if matches!(plane, Plane::Here { .. }) && workspace.managed_by == ManagedBy::Files.as_str() {
        return Err(Error::conflict("the fleet's files declare this workspace")
            .hint("take it out of the files and publish them; `stead down` takes its node alone"));
    }
    if !args.yes {
        if !std::io::stdin().is_terminal() {
            return Err(Error::input("delete destroys a node, and nobody is here to confirm it").hint("add --yes"));
        }
        confirm(env, &[slug.to_owned()])?;
    }
    match plane {
        Plane::There(client) => there(env, &client, slug, &format!("/v1/workspaces/{}", workspace.id)).await?,
        Plane::Here { store, .. } => {
            store.close().await;
            here(env, &workspace).await?;
        }
    }
    env.printer.data(&serde_json::json!({"workspace": slug, "id": workspace.id}), format_args!("{slug} is gone."))
}

async fn there(env: &Env, client: &Client, slug: &str, path: &str) -> Result<()> {
    let begun: Begun = client.act(Method::DELETE, path).await?;
    follow(env, client, slug, begun.workflow.id).await
}

async fn here(env: &Env, confirmed: &WorkspaceView) -> Result<()> {
    let held = env.hold("stead workspace delete").await?;
    // As it is now that nobody else changes it.
    let workspace = held.store.read().await?.workspace(confirmed.id).await?;
    let Some(workspace) = workspace.filter(|workspace| workspace.state != WorkspaceState::Gone) else { return Ok(()) };
    let work = Work::new(env, &held)?;
    clear(&work, &workspace).await?;
    // An interrupted `down` would leave the workspace.
    let ends = |live: &WorkflowRecord| live.params["ends"].as_bool().unwrap_or_default();
    if let Some(live) = work.live(deprovision::KIND, &workspace).await?.filter(|live| !ends(live)) {
        work.run(vec![(workspace.slug.clone(), live.id)]).await?;
    }
    let workflow = work.enqueue_end(&workspace).await?;
    work.run(vec![(workspace.slug.clone(), workflow)]).await
}
