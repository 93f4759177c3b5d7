//! Running workflows in the foreground: for `up`, `down`, and whatever else waits for them.

use std::fmt::Display;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::control::CHECKPOINTS;
use super::env::{Env, Held};
use super::printer::Printer;
use super::progress::Progress;
use crate::audit::Checkpoints;
use crate::id::{RevisionId, WorkflowId};
use crate::image::Stop;
use crate::store::{NodeRole, Suspender, WorkflowRecord, WorkflowState, Workspace};
use crate::workflow::flows::suspend::Asked;
use crate::workflow::flows::{self, Choice, Params, Platform, converge, deprovision, rebuild, resume};
use crate::workflow::{Engine, Outcome};
use crate::{Error, Result};

/// Does work on an image that blocks, on a thread of its own; Ctrl-C stops it. What it tells of its progress is said with the
/// image's name before it.
///
/// # Errors
/// Fails as the work does.
pub(super) async fn on_thread<T: Send + 'static>(
    printer: Printer,
    name: &str,
    stopping: &'static str,
    work: impl FnOnce(Stop, &dyn Fn(&str)) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (stop, signals, name) = (Stop::default(), stop_on_signals(printer, stopping)?, name.to_owned());
    let stopped = stop.clone();
    tokio::spawn(async move {
        signals.cancelled().await;
        stop.stop();
    });
    let work =
        tokio::task::spawn_blocking(move || work(stopped, &|line| printer.say(format_args!("{name:<16} {line}"))));
    work.await.map_err(|error| Error::failed("the work ended unexpectedly").because(error))?
}

/// What is said at the first Ctrl-C.
pub(super) const STOPPING: &str = "Stopping after the steps under way; press Ctrl-C again to stop at once.";
/// How many workflows run side by side: nodes boot at the same time, and a boot mostly waits.
const SIDE_BY_SIDE: usize = 8;

/// An engine with what shows its progress.
pub(super) struct Work {
    pub(super) engine: Engine<Platform>,
    pub(super) progress: Arc<Progress>,
    /// Cancelled by Ctrl-C.
    pub(super) stop: CancellationToken,
    actor: String,
    checkpoints: Checkpoints,
}

impl Work {
    /// Makes the engine; Ctrl-C stops it between steps.
    ///
    /// # Errors
    /// Fails where the fleet's keys or its vault cannot be read.
    pub(super) fn new(env: &Env, held: &Held) -> Result<Self> {
        Self::showing(env, held, Progress::new(env.printer, env.global.no_progress))
    }

    /// As [`new`](Self::new), with progress of one's own.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn showing(env: &Env, held: &Held, progress: Progress) -> Result<Self> {
        let progress = Arc::new(progress);
        let platform = Arc::new(env.platform(&held.place)?);
        let actor = env.actor();
        let file = held.place.dir.join(".stead").join(CHECKPOINTS);
        let checkpoints = Checkpoints::new(file, platform.keys.audit_signer().clone());
        let engine = Engine::new(held.store.clone(), platform, flows::registry(), progress.clone(), &actor);
        let stop = stop_on_signals(env.printer, STOPPING)?;
        let engine = engine.with_cancellation(stop.clone());
        #[cfg(debug_assertions)]
        let engine = engine.with_fault(env.config.fault.as_deref().map(str::parse).transpose()?);
        Ok(Self { engine, progress, stop, actor, checkpoints })
    }

    /// Says what the subject of a workflow is called.
    pub(super) fn name(&self, subject: &str, name: &str) {
        self.progress.name(subject, name);
    }

    /// Enqueues a flow for a workspace, or finds the one that waits already.
    pub(super) async fn enqueue(
        &self,
        kind: &str,
        workspace: &Workspace,
        revision: Option<RevisionId>,
    ) -> Result<WorkflowId> {
        self.progress.name(&workspace.id.to_string(), &workspace.slug);
        self.engine.enqueue(kind, workspace.id.to_string(), &self.params(workspace), revision).await
    }

    /// Enqueues the end of a workspace's node. `gone` says that its machine, which people brought, is gone for good; what waits
    /// for that machine is given up.
    pub(super) async fn enqueue_deprovision(&self, workspace: &Workspace, gone: bool) -> Result<WorkflowId> {
        self.progress.name(&workspace.id.to_string(), &workspace.slug);
        if gone
            && let Some(waiting) = self.live(deprovision::KIND, workspace).await?
            && waiting.state == WorkflowState::Parked
        {
            self.engine.abandon(waiting.id).await?;
        }
        let params = Params { gone, ..self.params(workspace) };
        self.engine.enqueue(deprovision::KIND, workspace.id.to_string(), &params, workspace.revision_id).await
    }

    /// Enqueues the end of a workspace that the files do not declare, with its node.
    pub(super) async fn enqueue_end(&self, workspace: &Workspace) -> Result<WorkflowId> {
        self.progress.name(&workspace.id.to_string(), &workspace.slug);
        let params = Params { ends: true, ..self.params(workspace) };
        self.engine.enqueue(deprovision::KIND, workspace.id.to_string(), &params, workspace.revision_id).await
    }

    /// Enqueues a converge with these playbooks, done so.
    pub(super) async fn enqueue_converge(
        &self,
        workspace: &Workspace,
        choice: &Choice,
        revision: Option<RevisionId>,
    ) -> Result<WorkflowId> {
        self.progress.name(&workspace.id.to_string(), &workspace.slug);
        let given = converge::Given { params: self.params(workspace), choice: choice.clone() };
        self.engine.enqueue(converge::KIND, workspace.id.to_string(), &given, revision).await
    }

    /// Enqueues a rebuild of the workspace's node, or finds the one that waits. One that was to lose nothing, and cannot go on, is
    /// given up for one that may; past its point of no return nothing is lost any more, and it goes on.
    pub(super) async fn enqueue_rebuild(
        &self,
        workspace: &Workspace,
        lose_data: bool,
        revision: Option<RevisionId>,
    ) -> Result<WorkflowId> {
        self.progress.name(&workspace.id.to_string(), &workspace.slug);
        if lose_data
            && let Some(waiting) = self.live(rebuild::KIND, workspace).await?
            && !waiting.params["lose_data"].as_bool().unwrap_or_default()
            && self.engine.store().read().await?.node_as(workspace.id, NodeRole::Outgoing).await?.is_none()
        {
            self.engine.abandon(waiting.id).await?;
        }
        let params = Params { lose_data, ..self.params(workspace) };
        self.engine.enqueue(rebuild::KIND, workspace.id.to_string(), &params, revision).await
    }

    /// Enqueues the end of the workspace's suspension, as an operator asks for it.
    pub(super) async fn enqueue_resume(
        &self,
        workspace: &Workspace,
        revision: Option<RevisionId>,
    ) -> Result<WorkflowId> {
        self.progress.name(&workspace.id.to_string(), &workspace.slug);
        let asked = Asked { params: self.params(workspace), by: Suspender::Operator, reason: None };
        self.engine.enqueue(resume::KIND, workspace.id.to_string(), &asked, revision).await
    }

    /// What a flow of the workspace is given, for whoever enqueues it in a transaction of their own.
    pub(super) fn of(&self, workspace: &Workspace) -> Result<serde_json::Value> {
        self.progress.name(&workspace.id.to_string(), &workspace.slug);
        serde_json::to_value(self.params(workspace)).map_err(|error| Error::failed("a workflow's input").because(error))
    }

    fn params(&self, workspace: &Workspace) -> Params {
        Params::of(workspace, &self.actor)
    }

    /// Closes the workspace's converge that an earlier command left behind, where there is one: what comes now is newer.
    /// Nothing of a converge is taken back, so none is lost either.
    pub(super) async fn close_converge(&self, workspace: &Workspace, reason: &str) -> Result<()> {
        self.close(converge::KIND, workspace, reason).await
    }

    /// Closes the workspace's workflows of this kind that are unfinished: what comes now takes care of what it leaves behind.
    pub(super) async fn close(&self, kind: &str, workspace: &Workspace, reason: &str) -> Result<()> {
        // Of some kinds several may wait.
        while let Some(live) = self.live(kind, workspace).await? {
            self.engine.close(live.id, reason).await?;
        }
        Ok(())
    }

    /// The workspace's workflow of a kind that has not ended.
    pub(super) async fn live(&self, kind: &str, workspace: &Workspace) -> Result<Option<WorkflowRecord>> {
        self.engine.store().read().await?.live_workflow(kind, &workspace.id.to_string()).await
    }

    /// Runs the workflows side by side; fails where any did.
    pub(super) async fn run(&self, workflows: Vec<(String, WorkflowId)>) -> Result<()> {
        let ended = self.outcomes(workflows).await;
        conclude(self.progress.printer(), ended.len(), ended.into_iter().filter_map(|(_, ended)| ended.err()).collect())
    }

    /// Runs the workflows side by side and tells how each ended.
    pub(super) async fn outcomes(&self, workflows: Vec<(String, WorkflowId)>) -> Vec<(String, Result<()>)> {
        let (slugs, ids): (Vec<String>, Vec<WorkflowId>) = workflows.into_iter().unzip();
        let outcomes = self.engine.run_all(ids, SIDE_BY_SIDE).await;
        self.progress.finish();
        if let Err(error) = self.checkpoints.note(self.engine.store()).await {
            self.progress.printer().warn(error.one_line());
        }
        let judged = |(slug, (id, outcome)): (String, (WorkflowId, Result<Outcome>))| {
            let ended = match outcome {
                Ok(Outcome::Succeeded) => Ok(()),
                Ok(Outcome::Failed(error)) => Err(error.context(format!("workspace {slug:?}"))),
                Ok(outcome) => Err(unfinished(&slug, id, outcome)),
                Err(error) => Err(error.context(format!("workspace {slug:?}"))),
            };
            (slug, ended)
        };
        slugs.into_iter().zip(outcomes).map(judged).collect()
    }
}

/// The one error, or, where there are several, each as it is and how many of all (`3 workspaces`) there were.
pub(super) fn conclude(printer: &Printer, all: impl Display, mut errors: Vec<Error>) -> Result<()> {
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.remove(0)),
        failed => {
            errors.iter().for_each(|error| printer.error(error));
            Err(Error::failed(format!("{failed} of {all} failed")).hint("the errors above tell why, and what helps"))
        }
    }
}

/// What a workflow's subject is called: `workspace "acme"`, `host "north"`.
pub(super) fn about(name: &str) -> String {
    match name.strip_prefix("host/") {
        Some(host) => format!("host {host:?}"),
        None => format!("workspace {name:?}"),
    }
}

/// What to tell of a workflow that neither succeeded nor was taken back.
pub(super) fn unfinished(name: &str, id: WorkflowId, outcome: Outcome) -> Error {
    let about = about(name);
    match outcome {
        Outcome::Parked(error) => error
            .context(format!("{about}: the workflow {id} is parked"))
            .hint(format!("mend the cause, then `stead workflow retry {id}`")),
        Outcome::Postponed(error) => error
            .context(format!("{about}: the workflow {id} is tried again later"))
            .hint(format!("`stead workflow show {id}` tells how it gets on")),
        Outcome::Busy => Error::failed(format!("{about}: another program works on the workflow {id}"))
            .hint("`stead workflow list` shows it"),
        Outcome::Interrupted | Outcome::Succeeded | Outcome::Failed(_) => {
            Error::failed(format!("{about}: interrupted")).hint("the same command goes on where this one stopped")
        }
    }
}

/// The token is cancelled at the first Ctrl-C (or SIGTERM), and `says` told; the second one ends the program at once, and
/// the next run goes on where it stood.
///
/// # Errors
/// Fails where the system does not tell of signals.
pub(super) fn stop_on_signals(printer: Printer, says: &'static str) -> Result<CancellationToken> {
    // On a thread and a runtime of its own: the command's own runtime hears nothing any more while it waits for the last
    // of its work, and that is when people press Ctrl-C again.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let token = CancellationToken::new();
    let cancel = token.clone();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            for first in [true, false] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if first {
                    printer.say(says);
                    cancel.cancel();
                }
            }
        });
        // 128 + SIGINT, as shells have it.
        std::process::exit(130);
    })?;
    Ok(token)
}
