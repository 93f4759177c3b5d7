//! `stead node rebuild`: another node in the place of one.

use std::time::Instant;

use serde::Serialize;

use super::env::{Env, Held};
use super::follow::{Begun, follow};
use super::node_rotate_identity::{served, without_node};
use super::plane::Plane;
use super::printer::GOOD;
use super::publish::{publish, reconcile};
use super::work::Work;
use super::{image, up};
use crate::client::Client;
use crate::id::{NodeId, RevisionId};
use crate::store::{ManagedBy, Workspace};
use crate::workflow::flows::rotate_identity;
use crate::{Error, Result};

/// Replaces the node of a workspace by a new one, with all that is on it
///
/// The new node is made of the image as it is declared now. Then the old one's workload stops, its data (/srv/data and
/// /var/lib/private) and secrets go to the new one, encrypted for it, and are checked there; when the new one is healthy it takes
/// over, and the old one is wiped and destroyed. Until then any failure ends with the old node serving again. Run again, it goes on
/// with a rebuild that was interrupted.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The workspace
    workspace: String,
    /// The old node is dead, or what is on it is not wanted: nothing of its data is kept. Secrets come from the vault again
    #[arg(long)]
    lose_data: bool,
}

#[derive(Serialize)]
struct Rebuilt {
    workspace: String,
    node: NodeId,
    replaces: NodeId,
    data_lost: bool,
}

/// Runs the command.
///
/// # Errors
/// Fails where the workspace has no node, the old one does not answer, or the new one does not become healthy.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let begun = Instant::now();
    if let Some(client) = env.remote()? {
        return there(args, env, client, begun).await;
    }
    let mut held = env.hold("stead node rebuild").await?;
    let workspace = served(&held, &args.workspace, (rotate_identity::KIND, "node rotate-identity")).await?;
    let before = held.store.read().await?.node_of(workspace.id).await?.map(|node| node.id);
    let (workspace, revision) = prepare(env, &mut held, workspace).await?;
    let work = Work::new(env, &held)?;
    work.close_converge(&workspace, "its node is replaced").await?;
    let workflow = work.enqueue_rebuild(&workspace, args.lose_data, revision).await?;
    let data_lost = held.store.read().await?.workflow(workflow).await?;
    let data_lost = data_lost.is_some_and(|workflow| workflow.params["lose_data"].as_bool().unwrap_or_default());
    work.run(vec![(workspace.slug.clone(), workflow)]).await?;
    let node = held.store.read().await?.node_of(workspace.id).await?;
    let node = node.ok_or_else(|| Error::failed(format!("the node of {:?} is gone", workspace.slug)))?;
    let replaces = before.unwrap_or(node.id);
    told(env, Rebuilt { workspace: workspace.slug, node: node.id, replaces, data_lost }, begun)
}

async fn there(args: &Args, env: &Env, client: Client, since: Instant) -> Result<()> {
    let slug = args.workspace.as_str();
    let plane = Plane::There(client.clone());
    let node =
        async || plane.workspace(slug).await.map(|workspace| Some((workspace.as_ref()?.id, workspace?.node?.id)));
    let (id, replaces) = node().await?.ok_or_else(|| without_node(slug))?;
    let body = serde_json::json!({"lose_data": args.lose_data});
    let begun: Begun = client.create(&format!("/v1/workspaces/{id}/rebuild"), &body).await?;
    follow(env, &client, slug, begun.workflow.id).await?;
    let (_, node) = node().await?.ok_or_else(|| Error::failed(format!("the node of {slug:?} is gone")))?;
    told(env, Rebuilt { workspace: slug.to_owned(), node, replaces, data_lost: args.lose_data }, since)
}

fn told(env: &Env, rebuilt: Rebuilt, begun: Instant) -> Result<()> {
    let Rebuilt { workspace: slug, node, replaces, data_lost } = &rebuilt;
    let with = if *data_lost { "without what was on it" } else { "with all that was on it" };
    env.printer.say(format_args!(
        "\n{GOOD}The node of {slug} is a new one{GOOD:#}, {with} ({:.1} s)\n",
        begun.elapsed().as_secs_f64()
    ));
    let text = format!("{slug}: {node} has replaced {replaces}\n");
    env.printer.data(&rebuilt, text)
}

/// Publishes what is declared for the workspace now, and finds before anything is begun what would stop it.
async fn prepare(env: &Env, held: &mut Held, workspace: Workspace) -> Result<(Workspace, Option<RevisionId>)> {
    if workspace.managed_by == ManagedBy::Api {
        let latest = held.store.read().await?.latest_revision().await?.map(|revision| revision.id);
        return Ok((workspace, latest));
    }
    let slugs = held.place.select(std::slice::from_ref(&workspace.slug))?;
    up::check_host(env, held, &slugs, &slugs)?;
    up::check_files(env, &held.place, &slugs)?;
    let images = up::images_to_build(&held.place, &slugs);
    for (disk, of_a_kind) in [(false, &images.roots), (true, &images.disks)] {
        image::lock::ensure(env, &mut held.place, of_a_kind.iter().map(String::as_str), disk).await?;
    }
    let revision = publish(env, held).await?.id;
    let reconciled = reconcile(env, held, &slugs, revision).await?.pop();
    Ok((reconciled.unwrap_or(workspace), Some(revision)))
}
