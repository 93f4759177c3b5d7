//! `stead workspace suspend`.

use crate::api::views::WorkspaceView;
use crate::cli::env::Env;
use crate::cli::follow::{Begun, follow};
use crate::cli::plane::Plane;
use crate::cli::work::Work;
use crate::client::Client;
use crate::store::{Placement, Suspender};
use crate::workflow::flows::suspend::{self, Asked};
use crate::workflow::flows::{Params, rebuild, resume};
use crate::{Error, Result};

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
    let (work, id, reason) = (Work::new(env, &held)?, workspace.id, args.reason.clone());
    let (engine, actor) = (work.engine.clone(), env.actor());
    let unfinished = format!("`stead node rebuild {}` goes on with it", workspace.slug);
    // Together: nothing else would make so what was written down.
    let wish = held.store.write(move |tx| {
        Box::pin(async move {
            // Nobody but its own command goes on with a rebuild that was interrupted.
            if tx.live_workflow(rebuild::KIND, &id.to_string()).await?.is_some_and(|rebuild| !rebuild.state.is_over()) {
                return Err(Error::conflict("the workspace's node is being replaced").hint(unfinished));
            }
            let (workspace, _) = suspend::wish(tx, id, Suspender::Operator, reason.clone()).await?;
            let asked = Asked { params: Params::of(&workspace, &actor), by: Suspender::Operator, reason };
            let asked =
                serde_json::to_value(&asked).map_err(|error| Error::failed("a workflow's input").because(error))?;
            let (subject, revision, placement) = (id.to_string(), workspace.revision_id, Placement::default());
            let workflow = engine.enqueue_in(tx, suspend::KIND, &subject, asked, revision, placement).await?;
            Ok((workspace, workflow))
        })
    });
    let (workspace, workflow) = wish.await?;
    work.name(&id.to_string(), &workspace.slug);
    work.close_converge(&workspace, "its workspace is suspended").await?;
    work.close(resume::KIND, &workspace, "its workspace is suspended again").await?;
    work.run(vec![(workspace.slug.clone(), workflow)]).await
}
