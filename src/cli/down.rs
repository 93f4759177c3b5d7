//! `stead down`: nodes, gone.

use std::io::{BufRead, IsTerminal};
use std::time::{Duration, Instant};

use super::afar;
use super::env::{Env, Held};
use super::work::{Work, conclude, unfinished};
use crate::id::WorkflowId;
use crate::store::{Listed, Workspace};
use crate::workflow::Outcome;
use crate::workflow::flows::{converge, is_brought, provision, rebuild, resume, rotate_identity, suspend};
use crate::{Error, Result};

/// Wipes and destroys the nodes of every workspace, or of the named ones, and leaves nothing behind
///
/// Conversations live on the nodes only, and go with them. What remains is the record: the audit log, and that the nodes
/// were there.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Workspaces [default: all that have a node]
    #[arg(value_name = "WORKSPACE")]
    pub(super) workspaces: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub(super) yes: bool,
    /// The machines of these workspaces, which people brought, are gone for good: forget them without giving them back
    #[arg(long, requires = "workspaces")]
    pub(super) gone: bool,
}

/// Runs the command.
///
/// # Errors
/// Fails where a node cannot be destroyed, or nobody confirmed.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let begun = Instant::now();
    if let Some(client) = env.remote()? {
        return afar::down::down(env, &client, args, begun).await;
    }
    let held = env.hold("stead down").await?;
    let mut reader = held.store.read().await?;
    let all = reader.workspaces(Listed::Live).await?;
    let unknown: Vec<&String> =
        args.workspaces.iter().filter(|name| !all.iter().any(|workspace| workspace.slug == **name)).collect();
    // A workspace that is declared and was never up has nothing to take down; one that nobody knows is a typo.
    held.place.select(&unknown.into_iter().cloned().collect::<Vec<_>>())?;
    let mut doomed: Vec<Workspace> = Vec::new();
    for workspace in all {
        let named = args.workspaces.is_empty() || args.workspaces.contains(&workspace.slug);
        let unfinished = reader.live_workflow(provision::KIND, &workspace.id.to_string()).await?.is_some();
        if named && (unfinished || !reader.all_nodes_of(workspace.id).await?.is_empty()) {
            doomed.push(workspace);
        }
    }
    drop(reader);
    if doomed.is_empty() {
        return nothing(env);
    }
    if args.gone {
        check_gone(&held, &doomed).await?;
    }
    let slugs: Vec<String> = doomed.iter().map(|workspace| workspace.slug.clone()).collect();
    if !args.yes {
        confirm(env, &slugs)?;
    }
    let work = Work::new(env, &held)?;
    let (mut workflows, mut destroyed, mut errors): (Vec<(String, WorkflowId)>, Vec<String>, Vec<Error>) =
        Default::default();
    for workspace in &doomed {
        match clear(&work, workspace).await {
            Err(error) => errors.push(error),
            Ok(()) if held.store.read().await?.all_nodes_of(workspace.id).await?.is_empty() => {
                destroyed.push(workspace.slug.clone());
            }
            Ok(()) => {
                let id = work.enqueue_deprovision(workspace, args.gone).await?;
                workflows.push((workspace.slug.clone(), id));
            }
        }
    }
    for (slug, ended) in work.outcomes(workflows).await {
        match ended {
            Ok(()) => destroyed.push(slug),
            Err(error) => errors.push(error),
        }
    }
    destroyed.sort();
    told(env, &destroyed, begun.elapsed())?;
    conclude(&env.printer, format_args!("{} workspaces", doomed.len()), errors)
}

pub(super) fn nothing(env: &Env) -> Result<()> {
    env.printer.say("There are no nodes to take down.");
    env.printer.data(&Vec::<String>::new(), "")
}

/// Tells whose nodes are gone.
pub(super) fn told(env: &Env, destroyed: &[String], took: Duration) -> Result<()> {
    if !destroyed.is_empty() {
        env.printer.say(format_args!(
            "\nDestroyed: {} ({:.1} s). The record remains: `stead audit show`.",
            destroyed.join(", "),
            took.as_secs_f64()
        ));
    }
    env.printer.data(destroyed, "")
}

/// Ends what else works on the workspace's node: two flows never do so at once, and none that was left behind may go on
/// with the next node.
pub(super) async fn clear(work: &Work, workspace: &Workspace) -> Result<()> {
    // What a rebuild has made beside the node goes with it.
    for kind in [converge::KIND, rotate_identity::KIND, rebuild::KIND, suspend::KIND, resume::KIND] {
        work.close(kind, workspace, "its node was taken down").await?;
    }
    let Some(provision) = work.live(provision::KIND, workspace).await? else { return Ok(()) };
    work.engine.turn_back(provision.id, "it was taken down before it was up").await?;
    work.enqueue(provision::KIND, workspace, provision.revision_id).await?;
    match work.engine.run(provision.id).await? {
        // Taken back is what is wanted here, so its failure is none.
        Outcome::Failed(_) | Outcome::Succeeded => Ok(()),
        outcome => Err(unfinished(&workspace.slug, provision.id, outcome)),
    }
}

/// Only a machine that people brought can be gone without our doing.
async fn check_gone(held: &Held, doomed: &[Workspace]) -> Result<()> {
    let mut reader = held.store.read().await?;
    for workspace in doomed {
        if reader.node_of(workspace.id).await?.is_some_and(|node| !is_brought(&node)) {
            return Err(Error::input(format!("the machine of {:?} was not brought: Stead made it", workspace.slug))
                .hint("leave --gone out: a machine that is not there any more counts as destroyed"));
        }
    }
    Ok(())
}

pub(super) fn confirm(env: &Env, slugs: &[String]) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::input("down destroys nodes, and nobody is here to confirm it").hint("add --yes"));
    }
    env.printer.say(format_args!(
        "This destroys the nodes of {} and all that is on them. Type yes to go on:",
        slugs.join(", ")
    ));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() == "yes" { Ok(()) } else { Err(Error::input("not confirmed; nothing was changed")) }
}
