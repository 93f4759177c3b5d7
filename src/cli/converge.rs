//! `stead converge`: nodes, made to match their playbooks.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use serde_json::{Map, Value};

use super::afar;
use super::env::{Env, Held, Place};
use super::mistakes;
use super::printer::table;
use super::progress::{Detail, Progress};
use super::publish::{publish, reconcile};
use super::run_log::RunLog;
use super::waves::{Ended, Waves};
use super::work::{STOPPING, Work, stop_on_signals, unfinished};
use crate::clock::{Clock, SystemClock};
use crate::id::RevisionId;
use crate::store::{Node, Store, Workspace};
use crate::workflow::Outcome;
use crate::workflow::flows::playbooks::{self, Output};
use crate::workflow::flows::{Choice, converge, rebuild, suspend};
use crate::{Error, Kind, Result};

/// Of so many nodes at most every changed task is told.
const FEW: usize = 4;

/// Makes the nodes of every workspace, or of the named ones, match their playbooks
///
/// One plan goes to each node over one connection, and what is as it should be is left as it is. A change that could lock
/// Stead out (to sshd, the network, the packet filter, or who may log in) is taken back by the node itself unless it is
/// confirmed over a new connection. Exit code 3 from --check when something is pending.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Workspaces [default: all that are declared and have a node]
    #[arg(value_name = "WORKSPACE")]
    workspaces: Vec<String>,
    /// Only tell what would change
    #[arg(long, conflicts_with = "resume")]
    pub(super) check: bool,
    /// Show what changes in files
    #[arg(long)]
    pub(super) diff: bool,
    /// This playbook in place of the tier's; may be given several times
    #[arg(long = "playbook", value_name = "NAME")]
    playbooks: Vec<String>,
    /// Only tasks with one of these tags
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    tags: Vec<String>,
    /// A variable that goes before all others: JSON, or else text. It is recorded: no place for secrets
    #[arg(short = 'e', long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    vars: Vec<(String, Value)>,
    /// Remove what the node's playbooks made and do not name any more
    #[arg(long, conflicts_with_all = ["playbooks", "tags", "vars"])]
    prune: bool,
    /// Go on at the task that failed, with the same plan as then
    #[arg(long, conflicts_with_all = ["playbooks", "tags", "vars", "prune"])]
    resume: bool,
    /// How long a node waits for the confirmation of a change that could lock Stead out
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(5..=3600))]
    confirm_within: u32,
    #[command(flatten)]
    waves: Waves,
}

/// Reads `NAME=VALUE`.
pub(super) fn variable(text: &str) -> std::result::Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    let legal = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !legal {
        return Err(format!("{name:?} is not a variable's name: take letters, digits and _"));
    }
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
}

/// How it went on one node.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    workspace: String,
    result: &'static str,
    #[serde(flatten)]
    output: Option<Output>,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Fails where a node does, and with [`Kind::Pending`] where a check finds something to change.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let choice = Choice {
        playbooks: args.playbooks.clone(),
        tags: args.tags.clone(),
        vars: args.vars.iter().cloned().collect::<Map<String, Value>>(),
        diff: args.diff,
        prune: args.prune,
        resume: args.resume,
        confirm_within: args.confirm_within,
    };
    if let Some(client) = env.remote()? {
        return afar::converge::converge(env, &client, args, &choice).await;
    }
    if args.check { check(args, env, &choice).await } else { apply(args, env, &choice).await }
}

/// What of a workspace there is to converge.
pub(super) enum Target<T> {
    /// A node.
    Node(T),
    /// A node that is stopped on purpose; why it is refused to whoever names it.
    Suspended(Error),
    None,
}

/// The workspaces that were named, or all that have a node, with what is known of that.
pub(super) async fn targets<T>(
    args: &Args,
    env: &Env,
    place: &Place,
    node_of: impl AsyncFn(&str) -> Result<Target<T>>,
) -> Result<Vec<(String, T)>> {
    let (mut found, mut without, mut suspended) = (Vec::new(), Vec::new(), Vec::new());
    for slug in place.select(&args.workspaces)? {
        match node_of(&slug).await? {
            Target::Node(node) => found.push((slug, node)),
            Target::Suspended(refusal) if args.workspaces.contains(&slug) => return Err(refusal),
            Target::Suspended(_) => suspended.push(slug),
            Target::None => without.push(slug),
        }
    }
    if !suspended.is_empty() {
        env.printer.say(format_args!("Left out, since they are suspended: {}", suspended.join(", ")));
    }
    if without.is_empty() || (args.workspaces.is_empty() && !found.is_empty()) {
        if !without.is_empty() {
            env.printer.say(format_args!("Left out, since they have no node: {}", without.join(", ")));
        }
        return Ok(found);
    }
    let names = without.join(" ");
    Err(Error::input(format!("no node to converge: {names}")).hint(format!("`stead up {names}` makes one")))
}

/// The node of a workspace, as the store here has it.
async fn node_of(store: &Store, slug: &str) -> Result<Target<Node>> {
    let mut reader = store.read().await?;
    let Some(workspace) = reader.workspace_by_slug(slug).await? else { return Ok(Target::None) };
    if let Err(refusal) = suspend::refuse(&workspace) {
        return Ok(Target::Suspended(refusal));
    }
    Ok(reader.node_of(workspace.id).await?.map_or(Target::None, Target::Node))
}

fn progress(args: &Args, env: &Env, place: &Place, nodes: usize) -> Result<Progress> {
    let detail = if nodes <= FEW || env.global.verbose > 0 { Detail::Tasks } else { Detail::Failures };
    let log = RunLog::begin(&place.dir, SystemClock.now())?;
    Ok(Progress::new(env.printer, env.global.no_progress).of_tasks(detail, args.diff, nodes, Some(log)))
}

async fn check(args: &Args, env: &Env, choice: &Choice) -> Result<()> {
    let place = env.place()?;
    let store = env.store(&place).await?;
    let nodes = targets(args, env, &place, async |slug| node_of(&store, slug).await).await?;
    let slugs: Vec<String> = nodes.iter().map(|(slug, _)| slug.clone()).collect();
    mistakes::look(&env.printer, &place.desired, &slugs, choice, [])?;
    let platform = Arc::new(env.platform(&place)?);
    let progress = Arc::new(progress(args, env, &place, nodes.len())?);
    let stop = stop_on_signals(env.printer, STOPPING)?;
    let job = |slug: String| {
        let node = nodes.iter().find(|(name, _)| *name == slug).map(|(_, node)| node.clone());
        let (platform, progress, desired) = (platform.clone(), progress.clone(), place.desired.clone());
        let (choice, stop) = (choice.clone(), stop.clone());
        // A task of its own, so that one that computes does not hold the others up.
        let task = tokio::spawn(async move {
            let node = node.ok_or_else(|| Error::failed("it has no node"))?;
            let plan = playbooks::plan(&desired, &slug, &choice)?;
            progress.begin(&slug);
            let mut on_event = |event| progress.task(&slug, &event);
            let looked = tokio::select! {
                looked = playbooks::check(&platform, &node, &desired.files, plan, &choice, &mut on_event) => looked,
                () = stop.cancelled() => Err(Error::failed("interrupted")),
            };
            progress.end(&slug);
            looked
        });
        async move { task.await.unwrap_or_else(|error| Err(Error::failed("looking at a node").because(error))) }
    };
    let rows = work_off(args, &progress, &slugs, &stop, job).await;
    report(env, &progress, rows, true)
}

async fn apply(args: &Args, env: &Env, choice: &Choice) -> Result<()> {
    let held = env.hold("stead converge").await?;
    let nodes = targets(args, env, &held.place, async |slug| node_of(&held.store, slug).await).await?;
    let slugs: Vec<String> = nodes.into_iter().map(|(slug, _)| slug).collect();
    mistakes::look(&env.printer, &held.place.desired, &slugs, choice, [])?;
    let revision = publish(env, &held).await?.id;
    let workspaces = reconcile(env, &held, &slugs, revision).await?;
    let work = Work::showing(env, &held, progress(args, env, &held.place, slugs.len())?)?;
    let job = |slug: String| {
        let workspace = workspaces.iter().find(|workspace| workspace.slug == slug);
        let (work, held) = (&work, &held);
        async move {
            let workspace = workspace.ok_or_else(|| Error::failed(format!("{slug:?} has no record")))?;
            one(work, held, workspace, choice, revision).await
        }
    };
    let rows = work_off(args, &work.progress, &slugs, &work.stop, job).await;
    report(env, &work.progress, rows, false)
}

/// Converges one node, by a workflow of its own.
///
/// # Errors
/// Fails as the workflow does.
pub(super) async fn one(
    work: &Work,
    held: &Held,
    workspace: &Workspace,
    choice: &Choice,
    revision: RevisionId,
) -> Result<Output> {
    if work.live(rebuild::KIND, workspace).await?.is_some() {
        let slug = &workspace.slug;
        return Err(Error::failed("its node is being replaced").hint(format!(
            "`stead node rebuild {slug}` goes on with it; `stead workflow list` shows where it stands"
        )));
    }
    let last = held.store.read().await?.last_workflow(converge::KIND, &workspace.id.to_string()).await?;
    let (choice, revision) = choice.resumed(last.as_ref(), Some(revision));
    work.close_converge(workspace, "a newer converge came").await?;
    let id = work.enqueue_converge(workspace, &choice, revision).await?;
    let engine = work.engine.clone();
    let ended = tokio::spawn(async move { engine.run(id).await }).await;
    match ended.unwrap_or_else(|error| Err(Error::failed("running a workflow").because(error)))? {
        Outcome::Succeeded => {
            let steps = held.store.read().await?.steps(id).await?;
            let output = steps.into_iter().find(|step| step.name == "playbooks").and_then(|step| step.output);
            serde_json::from_value(output.unwrap_or_default())
                .map_err(|error| Error::failed("reading how a converge ended").because(error))
        }
        Outcome::Failed(error) => Err(error),
        other => Err(unfinished(&workspace.slug, id, other)),
    }
}

/// Works the nodes off in waves, and tells each node's end.
pub(super) async fn work_off<F: Future<Output = Result<Output>>>(
    args: &Args,
    progress: &Progress,
    slugs: &[String],
    stop: &tokio_util::sync::CancellationToken,
    job: impl Fn(String) -> F,
) -> Vec<(Row, Option<Error>)> {
    let timed = |slug: String| {
        let (begun, ended) = (Instant::now(), job(slug.clone()));
        async move {
            let output = ended.await?;
            let seconds = begun.elapsed().as_secs_f64();
            progress.over(&slug, true, &told(&output, seconds));
            Ok((output, seconds))
        }
    };
    let ended = args.waves.run(slugs, stop, timed).await;
    progress.finish();
    let row = |(workspace, ended): (String, Ended<(Output, f64)>)| {
        let (result, done, error) = match ended {
            Ended::Done((output, seconds)) if output.summary.changed > 0 => ("changed", Some((output, seconds)), None),
            Ended::Done((output, seconds)) => ("ok", Some((output, seconds)), None),
            Ended::Failed(error) => ("failed", None, Some(error)),
            Ended::Unreachable(error) => ("unreachable", None, Some(error)),
            Ended::NotBegun => ("not begun", None, None),
        };
        if let Some(error) = &error {
            // The whole of it comes at the end.
            progress.over(&workspace, false, error.one_line().lines().next().unwrap_or_default());
        }
        let (output, seconds) = done.map_or((None, 0.0), |(output, seconds)| (Some(output), seconds));
        let text = error.as_ref().map(Error::one_line);
        (Row { workspace, result, output, seconds, error: text }, error)
    };
    ended.into_iter().map(row).collect()
}

fn told(output: &Output, seconds: f64) -> String {
    let summary = &output.summary;
    let mut parts = vec![format!("{} changed", summary.changed), format!("{} ok", summary.unchanged)];
    parts.extend((summary.skipped > 0).then(|| format!("{} skipped", summary.skipped)));
    parts.extend((summary.ignored > 0).then(|| format!("{} failed and ignored", summary.ignored)));
    format!("{} ({seconds:.1} s)", parts.join(", "))
}

/// Sums up, with the errors last, where they are seen.
pub(super) fn report(env: &Env, progress: &Progress, ended: Vec<(Row, Option<Error>)>, check: bool) -> Result<()> {
    let (rows, errors): (Vec<Row>, Vec<Option<Error>>) = ended.into_iter().unzip();
    for (slug, output) in rows.iter().filter_map(|row| Some((&row.workspace, row.output.as_ref()?))) {
        if let Some(what) = &output.taken_back {
            env.printer.warn(format_args!("{slug}: the node had taken back what nobody had confirmed: {what}"));
        }
        if !output.left_over.is_empty() {
            let list = output.left_over.join(", ");
            env.printer.say(format_args!("{slug}: no playbook names any more (`--prune` removes it): {list}"));
        }
    }
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let heading = ["WORKSPACE", "RESULT", "CHANGED", "OK", "SKIPPED", "SECONDS"];
    env.printer.say("");
    env.printer.data(&rows, table(&heading, &cells))?;
    let count = |result: &str| rows.iter().filter(|row| row.result == result).count();
    let (failed, unreachable, not_begun) = (count("failed"), count("unreachable"), count("not begun"));
    let all = rows.len();
    if failed + unreachable + not_begun == 0 {
        let pending = count("changed");
        return if check && pending > 0 {
            Err(Error::new(Kind::Pending, format!("{pending} of {all} nodes would change")))
        } else {
            Ok(())
        };
    }
    let mut errors: Vec<Error> = errors
        .into_iter()
        .zip(&rows)
        .filter_map(|(error, row)| Some(error?.context(format!("workspace {:?}", row.workspace))))
        .collect();
    let logs = progress.log().map(|log| format!("what happened on each node: {}/", log.dir()));
    if errors.len() == 1 && not_begun == 0 {
        return Err(logs.into_iter().fold(errors.remove(0), Error::hint));
    }
    errors.iter().for_each(|error| env.printer.error(error));
    let mut parts = vec![format!("{failed} of {all} nodes failed")];
    parts.extend((unreachable > 0).then(|| format!("{unreachable} did not answer")));
    parts.extend((not_begun > 0).then(|| format!("{not_begun} were not begun")));
    Err(logs.into_iter().fold(Error::failed(parts.join(", ")), Error::hint))
}

fn cells(row: &Row) -> Vec<String> {
    let count =
        |of: fn(&Output) -> u32| row.output.as_ref().map_or_else(|| "-".into(), |output| of(output).to_string());
    vec![
        row.workspace.clone(),
        row.result.to_owned(),
        count(|output| output.summary.changed),
        count(|output| output.summary.unchanged),
        count(|output| output.summary.skipped),
        if row.output.is_some() { format!("{:.1}", row.seconds) } else { "-".into() },
    ]
}
