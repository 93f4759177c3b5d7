//! `stead workspace create`.

use serde::Serialize;

use crate::Result;
use crate::api::check_name;
use crate::audit::Entry;
use crate::cli::env::Env;
use crate::cli::follow::{Begun, follow};
use crate::cli::plane::Plane;
use crate::cli::publish::publish_tiers;
use crate::cli::text::places;
use crate::cli::work::Work;
use crate::client::Client;
use crate::fleet::name::check_slug;
use crate::store::{ManagedBy, Placement, Workspace};
use crate::workflow::flows::provision;

/// Makes a workspace with a node, and waits until it is healthy
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its name in DNS and on the command line
    workspace: String,
    /// One of the fleet's tiers
    #[arg(long)]
    tier: String,
    /// What people call it
    #[arg(long)]
    name: Option<String>,
}

#[derive(Serialize)]
struct New<'a> {
    slug: &'a str,
    tier: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

/// Runs the command.
///
/// # Errors
/// Fails where the slug is taken, the fleet has no such tier, or the node does not become healthy.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let plane = match env.remote()? {
        Some(client) => {
            there(args, env, &client).await?;
            Plane::There(client)
        }
        None => {
            here(args, env).await?;
            env.plane().await?
        }
    };
    let workspace = plane.named(&args.workspace).await?;
    let addresses = workspace.node.as_ref().map(|node| places(&node.addresses, node.ssh_port)).unwrap_or_default();
    let text = format!("{} is {} {addresses}", workspace.slug, workspace.state);
    env.printer.data(&workspace, text.trim_end())
}

async fn there(args: &Args, env: &Env, client: &Client) -> Result<()> {
    let new = New { slug: &args.workspace, tier: &args.tier, name: args.name.as_deref() };
    let begun: Begun = client.create("/v1/workspaces", &new).await?;
    follow(env, client, &args.workspace, begun.workflow.id).await
}

async fn here(args: &Args, env: &Env) -> Result<()> {
    check_slug(&args.workspace)?;
    check_name(args.name.as_deref())?;
    let mut held = env.hold("stead workspace create").await?;
    // Told before an image is built for nothing.
    held.place.desired.made_at(&args.workspace, &args.tier)?;
    let revision = publish_tiers(env, &mut held).await?;
    let mut workspace = Workspace::new(&args.workspace, &args.tier, ManagedBy::Api, held.store.clock().now());
    workspace.name = args.name.clone();
    workspace.revision_id = Some(revision.id);
    let entry = Entry::new(env.actor(), "workspace.create", workspace.id.to_string());
    let (entry, record) = (entry.detail("slug", args.workspace.as_str()), workspace.clone());
    let work = Work::new(env, &held)?;
    let (engine, params) = (work.engine.clone(), work.of(&workspace)?);
    // In one: a workspace without the work that makes its node would only be in the way.
    let recorded = held.store.write(move |tx| {
        Box::pin(async move {
            tx.insert_workspace(&record).await?;
            entry.append(tx).await?;
            let subject = record.id.to_string();
            engine.enqueue_in(tx, provision::KIND, &subject, params, record.revision_id, Placement::default()).await
        })
    });
    let workflow = recorded.await?;
    work.run(vec![(workspace.slug.clone(), workflow)]).await
}
