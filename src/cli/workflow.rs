//! `stead workflow`: durable work, also what a command left behind.

use reqwest::Method;
use serde::Serialize;

use super::env::Env;
use super::follow::follow;
use super::plane::Plane;
use super::printer::table;
use super::text::{seconds, time};
use super::work::Work;
use crate::api::views::{StepView, WorkflowView};
use crate::client::Client;
use crate::id::WorkflowId;
use crate::store::{Reader, WorkflowRecord, WorkflowState};
use crate::{Error, Result};

/// Shows durable work, and goes on with what was left behind
#[derive(Debug, clap::Subcommand)]
pub(super) enum Workflow {
    List(ListArgs),
    Show(ShowArgs),
    Retry(RetryArgs),
    Abandon(AbandonArgs),
}

/// Lists workflows that are queued, under way or parked
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Also those that succeeded or failed
    #[arg(short, long)]
    all: bool,
}

/// Shows a workflow's steps: where each stands, how often it was begun, and why it failed
#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// The workflow's id
    id: String,
}

/// Goes on with a workflow that is parked or was left behind, or begins a failed one anew
#[derive(Debug, clap::Args)]
pub(super) struct RetryArgs {
    /// The workflow's id
    id: String,
}

/// Gives up a workflow that is parked, or that nobody works on: it counts as failed, and what it left behind is yours to clear away
#[derive(Debug, clap::Args)]
pub(super) struct AbandonArgs {
    /// The workflow's id
    id: String,
}

/// Runs the command.
///
/// # Errors
/// Fails where there is no such workflow, and where a retried one fails again.
pub(super) async fn run(command: &Workflow, env: &Env) -> Result<()> {
    match command {
        Workflow::List(args) => list(args, env).await,
        Workflow::Show(args) => show(id(&args.id)?, env).await,
        Workflow::Retry(args) => retry(id(&args.id)?, env).await,
        Workflow::Abandon(args) => abandon(id(&args.id)?, env).await,
    }
}

/// A workflow, with what it is about in people's words.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    workflow: WorkflowView,
    /// The workspace's slug, where it is about one.
    about: String,
}

async fn list(args: &ListArgs, env: &Env) -> Result<()> {
    let plane = env.plane().await?;
    let workflows = plane.workflows(args.all).await?;
    if workflows.is_empty() {
        let which = if args.all {
            "There are no workflows."
        } else {
            "No workflow is unfinished. `--all` lists those that are over."
        };
        env.printer.say(which);
        return env.printer.data(&workflows, "");
    }
    let about = plane.about(workflows.iter().map(|workflow| workflow.subject.as_str())).await?;
    let shown = |workflow: WorkflowView| Shown { about: about[&workflow.subject].clone(), workflow };
    let workflows: Vec<Shown> = workflows.into_iter().map(shown).collect();
    let cells = workflows.iter().map(|Shown { workflow, about }| {
        vec![
            workflow.id.to_string(),
            workflow.kind.clone(),
            about.clone(),
            workflow.state.clone(),
            time(workflow.created_at),
            first_line(workflow.error.as_deref()),
        ]
    });
    let cells: Vec<_> = cells.collect();
    env.printer.data(&workflows, table(&["ID", "KIND", "ABOUT", "STATE", "BEGUN (UTC)", "ERROR"], &cells))
}

async fn show(id: WorkflowId, env: &Env) -> Result<()> {
    let plane = env.plane().await?;
    let workflow = plane.workflow(id).await?.ok_or_else(|| missing(id))?;
    let about = plane.name_of(&workflow.subject).await?;
    let mut text = format!(
        "{} {} of {about}: {}\nbegun {} UTC{}\n\n",
        workflow.id,
        workflow.kind,
        workflow.state,
        time(workflow.created_at),
        workflow.ended_at.map(|at| format!(", over {} UTC", time(at))).unwrap_or_default(),
    );
    let cells: Vec<Vec<String>> = workflow.steps.iter().map(step_cells).collect();
    text += &table(&["STEP", "STATE", "ATTEMPTS", "BEGUN (UTC)", "SECONDS", "ERROR"], &cells);
    // The record holds the error's hints too, each on a line of its own.
    if let Some(error) = &workflow.error {
        text += &format!("\n{}: {error}\n", workflow.state);
    }
    if workflow.state == WorkflowState::Parked.as_str() {
        text += &format!("\n`stead workflow retry {id}` goes on; `stead workflow abandon {id}` gives it up.\n");
    }
    env.printer.data(&Shown { workflow, about }, text)
}

fn step_cells(step: &StepView) -> Vec<String> {
    vec![
        step.name.clone(),
        step.state.clone(),
        step.attempt.to_string(),
        step.started_at.map_or_else(|| "-".into(), time),
        seconds(step).map_or_else(|| "-".into(), |seconds| format!("{seconds:.1}")),
        first_line(step.error.as_deref()),
    ]
}

async fn retry(id: WorkflowId, env: &Env) -> Result<()> {
    if let Some(client) = env.remote()? {
        return retry_there(id, env, client).await;
    }
    let held = env.hold("stead workflow retry").await?;
    let mut reader = held.store.read().await?;
    let workflow = find(&mut reader, id).await?;
    let name = about(&mut reader, &workflow).await?;
    drop(reader);
    let work = Work::new(env, &held)?;
    work.name(&workflow.subject, &name);
    let id = match workflow.state {
        WorkflowState::Parked | WorkflowState::Failed => work.engine.retry(id).await?,
        // We hold the fleet, so whoever ran it is gone.
        WorkflowState::Queued | WorkflowState::Running | WorkflowState::Unwinding => id,
        WorkflowState::Succeeded => {
            return Err(done(id));
        }
    };
    work.run(vec![(name.clone(), id)]).await?;
    succeeded(env, id, &workflow.kind, &name)
}

async fn retry_there(id: WorkflowId, env: &Env, client: Client) -> Result<()> {
    let plane = Plane::There(client.clone());
    let before = plane.workflow(id).await?.ok_or_else(|| missing(id))?;
    if before.state == WorkflowState::Succeeded.as_str() {
        return Err(done(id));
    }
    let name = plane.name_of(&before.subject).await?;
    let again: WorkflowView = match before.over {
        true => client.act(Method::POST, &format!("/v1/workflows/{id}/retry")).await?,
        // Workers go on with it by themselves.
        false => before,
    };
    follow(env, &client, &name, again.id).await?;
    succeeded(env, again.id, &again.kind, &name)
}

async fn abandon(id: WorkflowId, env: &Env) -> Result<()> {
    if let Some(client) = env.remote()? {
        let found: Option<WorkflowView> = client.find(&format!("/v1/workflows/{id}")).await?;
        found.ok_or_else(|| {
            Error::input(format!("there is no workflow {id}")).hint("`stead workflow list` lists them")
        })?;
        let _: WorkflowView = client.act(Method::POST, &format!("/v1/workflows/{id}/abandon")).await?;
        return abandoned(env, id);
    }
    let held = env.hold("stead workflow abandon").await?;
    let work = Work::new(env, &held)?;
    work.engine.abandon(id).await?;
    crate::audit::seal(&held.store).await?;
    abandoned(env, id)
}

fn succeeded(env: &Env, id: WorkflowId, kind: &str, name: &str) -> Result<()> {
    env.printer.data(
        &serde_json::json!({"workflow": id, "state": WorkflowState::Succeeded}),
        format_args!("The {kind} of {name} has succeeded."),
    )
}

fn abandoned(env: &Env, id: WorkflowId) -> Result<()> {
    env.printer.data(
        &serde_json::json!({"workflow": id, "state": WorkflowState::Failed}),
        format_args!("Given up: {id}. What it made is still there; `stead status` shows it."),
    )
}

fn done(id: WorkflowId) -> Error {
    Error::input(format!("the workflow {id} has succeeded: nothing is left to do"))
        .hint("`stead workflow list` lists those that are unfinished")
}

fn id(text: &str) -> Result<WorkflowId> {
    text.parse().map_err(|error: Error| error.hint("`stead workflow list --all` lists all there ever were"))
}

async fn find(reader: &mut Reader, id: WorkflowId) -> Result<WorkflowRecord> {
    reader.workflow(id).await?.ok_or_else(|| missing(id))
}

fn missing(id: WorkflowId) -> Error {
    Error::input(format!("there is no workflow {id}")).hint("`stead workflow list --all` lists all there ever were")
}

/// The workspace's slug where the workflow is about one, else the subject's id.
async fn about(reader: &mut Reader, workflow: &WorkflowRecord) -> Result<String> {
    let workspace = match workflow.subject.parse() {
        Ok(id) => reader.workspace(id).await?,
        Err(_) => None,
    };
    Ok(workspace.map_or_else(|| workflow.subject.clone(), |workspace| workspace.slug))
}

fn first_line(error: Option<&str>) -> String {
    error.and_then(|error| error.lines().next()).unwrap_or("-").to_owned()
}
