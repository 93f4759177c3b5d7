//! `stead converge` through a control plane: its workers apply the playbooks, or look at what they would change.

use serde::Serialize;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::{give, known, publish, suspended};
use crate::api::views::{ConvergedView, WorkflowView};
use crate::cli::converge::{Args, Target, report, targets, work_off};
use crate::cli::env::Env;
use crate::cli::follow::{Begun, follow};
use crate::cli::mistakes;
use crate::cli::progress::Progress;
use crate::client::Client;
use crate::id::{RevisionId, WorkspaceId};
use crate::secrets::vault::Vault;
use crate::wire::plan::Summary;
use crate::workflow::flows::Choice;
use crate::workflow::flows::playbooks::Output;
use crate::{Error, Result};

#[derive(Serialize)]
struct Asked<'a> {
    check: bool,
    playbooks: &'a [String],
    tags: &'a [String],
    vars: &'a Map<String, Value>,
    prune: bool,
    resume: bool,
    confirm_within: u32,
    revision: RevisionId,
}

/// Makes the nodes match their playbooks, or tells what that would change.
pub(in crate::cli) async fn converge(env: &Env, client: &Client, args: &Args, choice: &Choice) -> Result<()> {
    if args.diff {
        return Err(Error::input(
            "--diff shows what nodes say while they are changed, and the server does not pass that on",
        )
        .hint("leave it out, or run the command where the workers are"));
    }
    let place = env.place()?;
    let known = known(client).await?;
    let target = |slug: &str| match known.get(slug) {
        Some(found) if found.node.is_some() => match suspended(found) {
            Some((_, refusal)) => Target::Suspended(refusal),
            None => Target::Node(found.id),
        },
        _ => Target::None,
    };
    let nodes: Vec<(String, WorkspaceId)> = targets(args, env, &place, async |slug| Ok(target(slug))).await?;
    let slugs: Vec<String> = nodes.iter().map(|(slug, _)| slug.clone()).collect();
    mistakes::look(&env.printer, &place.desired, &slugs, choice, [])?;
    let revision = publish::publish(env, client, &place).await?.id;
    let asked = Asked {
        check: args.check,
        playbooks: &choice.playbooks,
        tags: &choice.tags,
        vars: &choice.vars,
        prune: choice.prune,
        resume: choice.resume,
        confirm_within: choice.confirm_within,
        revision,
    };
    let (progress, stop) = (Progress::new(env.printer, env.global.no_progress), CancellationToken::new());
    // Whoever watches says that the work goes on; nothing more is begun.
    let interrupted = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
    });
    let job = |slug: String| {
        let id = nodes.iter().find(|(name, _)| *name == slug).map(|(_, id)| *id);
        let asked = &asked;
        async move {
            let id = id.ok_or_else(|| Error::failed("it has no node"))?;
            one(env, client, &slug, id, asked).await
        }
    };
    let vault = Vault::open(&place.dir)?;
    let rows = tokio::select! {
        rows = work_off(args, &progress, &slugs, &stop, job) => rows,
        failed = give::give(client, &place, &vault, &slugs), if !args.check => match failed? {},
    };
    report(env, &progress, rows, args.check)
}

async fn one(env: &Env, client: &Client, slug: &str, id: WorkspaceId, asked: &Asked<'_>) -> Result<Output> {
    let begun: Begun = client.create(&format!("/v1/workspaces/{id}/converge"), asked).await?;
    let workflow = begun.workflow.id;
    follow(env, client, slug, workflow).await?;
    let view: WorkflowView = client.get(&format!("/v1/workflows/{workflow}")).await?;
    let result =
        view.result.ok_or_else(|| Error::failed(format!("the server does not tell what {workflow} came to")))?;
    let ConvergedView { changed, unchanged, skipped, ignored, left_over, taken_back } = result;
    Ok(Output { summary: Summary { changed, unchanged, skipped, failed: 0, ignored }, left_over, taken_back })
}
