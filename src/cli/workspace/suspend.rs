//! `stead workspace suspend`.

use crate::Result;
use crate::api::views::WorkspaceView;
use crate::cli::env::Env;
use crate::cli::follow::{Begun, follow};
use crate::cli::plane::Plane;
use crate::cli::work::Work;
use crate::client::Client;
use crate::store::Suspender;
use crate::workflow::flows::{resume, suspend};

/// Stops a workspace's node, and keeps all that is on it, until the workspace is resumed
///
/// Nothing starts the node meanwhile: `up` and `converge` leave it out, and secrets wait. What an operator suspends, an operator
/// resumes. Run again, it goes on with what was interrupted.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The workspace
    workspace: String,
    /// Why, in words for the customer
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Fails where there is no such workspace, it has no node that serves, or the node cannot be stopped; then it serves as before.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let slug = args.workspace.as_str();
    suspend::check_reason(args.reason.as_deref())?;
    let plane = env.plane().await?;
    let workspace = plane.named(slug).await?;
    let plane = match plane {
        Plane::There(client) => {
            there(args, env, &client, &workspace).await?;
            Plane::There(client)
        }
        Plane::Here { store, .. } => {
            store.close().await;
            here(args, env, &workspace).await?;
            env.plane().await?
        }
    };
    let workspace = plane.named(slug).await?;
    env.printer.data(&workspace, format_args!("{slug} is {}.", workspace.state))
}

async fn there(args: &Args, env: &Env, client: &Client, workspace: &WorkspaceView) -> Result<()> {
    let body = serde_json::json!({"reason": args.reason});
    let begun: Begun = client.create(&format!("/v1/workspaces/{}/suspend", workspace.id), &body).await?;
    follow(env, client, &workspace.slug, begun.workflow.id).await
}

async fn here(args: &Args, env: &Env, workspace: &WorkspaceView) -> Result<()> {
    let held = env.hold("stead workspace suspend").await?;
    let (id, reason) = (workspace.id, args.reason.clone());
    let wish = held.store.write(move |tx| Box::pin(suspend::wish(tx, id, Suspender::Operator, reason)));
    let (workspace, _) = wish.await?;
    let work = Work::new(env, &held)?;
    work.close_converge(&workspace, "its workspace is suspended").await?;
    work.close(resume::KIND, &workspace, "its workspace is suspended again").await?;
    let workflow = work.enqueue_asked(suspend::KIND, &workspace, args.reason.clone(), workspace.revision_id).await?;
    work.run(vec![(workspace.slug.clone(), workflow)]).await
}
