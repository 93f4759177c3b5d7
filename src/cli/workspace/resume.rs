//! `stead workspace resume`.

use crate::Result;
use crate::api::views::WorkspaceView;
use crate::cli::afar;
use crate::cli::env::{Env, Held};
use crate::cli::plane::Plane;
use crate::cli::publish::{publish, reconcile};
use crate::cli::text::places;
use crate::cli::up;
use crate::cli::work::Work;
use crate::id::RevisionId;
use crate::store::{ManagedBy, Suspender, Workspace};
use crate::workflow::flows::{resume, suspend};

/// Starts a suspended workspace's node again, brings it to what is declared now, and waits until it is healthy
///
/// What fails ends with the node stopped as before. Run again, it goes on with what was interrupted.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The workspace
    workspace: String,
}

/// Runs the command.
///
/// # Errors
/// Fails where there is no such workspace, it is not suspended, or its node does not become healthy; then it stays suspended.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let slug = args.workspace.as_str();
    let plane = env.plane().await?;
    let workspace = plane.named(slug).await?;
    let plane = match plane {
        Plane::There(client) => {
            afar::resume::resume(env, &client, &workspace).await?;
            Plane::There(client)
        }
        Plane::Here { store, .. } => {
            store.close().await;
            here(env, &workspace).await?;
            env.plane().await?
        }
    };
    let workspace = plane.named(slug).await?;
    let addresses = workspace.node.as_ref().map(|node| places(&node.addresses, node.ssh_port)).unwrap_or_default();
    env.printer.data(&workspace, format!("{slug} is {} {addresses}", workspace.state).trim_end())
}

async fn here(env: &Env, workspace: &WorkspaceView) -> Result<()> {
    let held = env.hold("stead workspace resume").await?;
    let id = workspace.id;
    let asked = held.store.write(move |tx| Box::pin(resume::asked(tx, id, Suspender::Operator)));
    let (workspace, _) = asked.await?;
    let (workspace, revision) = prepare(env, &held, workspace).await?;
    let work = Work::new(env, &held)?;
    // What it has stopped is started, and what it has not, stays.
    work.close(suspend::KIND, &workspace, "its workspace is resumed").await?;
    let workflow = work.enqueue_resume(&workspace, revision).await?;
    work.run(vec![(workspace.slug.clone(), workflow)]).await
}

/// Publishes what is declared for the workspace now, and finds before anything is begun what would stop it.
async fn prepare(env: &Env, held: &Held, workspace: Workspace) -> Result<(Workspace, Option<RevisionId>)> {
    if workspace.managed_by == ManagedBy::Api {
        let latest = held.store.read().await?.latest_revision().await?.map(|revision| revision.id);
        return Ok((workspace, latest));
    }
    let slugs = held.place.select(std::slice::from_ref(&workspace.slug))?;
    up::check_files(env, &held.place, &slugs)?;
    up::check_secrets(held, &slugs).await?;
    let revision = publish(env, held).await?.id;
    let reconciled = reconcile(env, held, &slugs, revision).await?.pop();
    Ok((reconciled.unwrap_or(workspace), Some(revision)))
}
