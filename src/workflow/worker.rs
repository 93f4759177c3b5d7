//! Workers: run workflows as they come, beside others that do the same.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Engine, Outcome, lease, watched};
use crate::audit::{self, Checkpoints};
use crate::fleet::ProviderKind;
use crate::id::{WorkflowId, WorkspaceId};
use crate::store::{Ability, Claimant, Store, Tx, WorkerRecord, WorkflowRecord};
use crate::{Kind, Result};

/// How often work is looked for when nobody tells of any: the most that a lost word costs.
const POLL: Duration = Duration::from_secs(1);
/// How often a worker says that it lives.
const BEAT: Duration = Duration::from_secs(5);
/// How long after its last word a worker counts as gone.
const SILENCE: Duration = Duration::from_secs(60);
/// How long the one that seals the audit log is the one, unless it says so again.
const SEALER_LEASE: Duration = Duration::from_secs(10);
/// How often ciphertext is dropped that nobody came for.
const EXPIRY: Duration = Duration::from_secs(60);
/// The duty's name.
const SEALER: &str = "audit-sealer";

/// Runs workflows as they come.
pub struct Worker<C> {
    engine: Engine<C>,
    claimant: Claimant,
    concurrency: usize,
    checkpoints: Option<Arc<Checkpoints>>,
}

impl<C: Send + Sync + 'static> Worker<C> {
    /// A worker on `host` that runs at most `concurrency` workflows at once. It stops as the engine does
    /// ([`Engine::with_cancellation`]).
    pub fn new(engine: Engine<C>, host: impl Into<String>, abilities: Vec<Ability>, concurrency: usize) -> Self {
        let claimant = Claimant {
            process: lease::this_process(),
            host: host.into(),
            abilities,
            kinds: engine.kinds().map(str::to_owned).collect(),
        };
        Self { engine, claimant, concurrency: concurrency.max(1), checkpoints: None }
    }

    /// Writes checkpoints of the audit log after it was sealed.
    #[must_use]
    pub fn with_checkpoints(self, checkpoints: Checkpoints) -> Self {
        Self { checkpoints: Some(Arc::new(checkpoints)), ..self }
    }

    /// Runs until it is told to stop. What is under way then is stopped between steps and left to other workers.
    ///
    /// # Errors
    /// Fails where the store cannot be read at the start. One that goes away later is waited for.
    pub async fn run(&self) -> Result<()> {
        self.beat(0).await?;
        let stop = self.engine.cancellation().clone();
        let ended = CancellationToken::new();
        let (store, process) = (self.engine.store().clone(), self.claimant.process.clone());
        let upkeep = tokio::spawn(upkeep(store, process, self.checkpoints.clone(), ended.clone()));
        let mut running = JoinSet::new();
        let mut next_beat = Instant::now() + BEAT;
        let (mut quiet, mut next_look) = (Quiet::default(), Instant::now());
        while !stop.is_cancelled() {
            if Instant::now() >= next_look {
                next_look = Instant::now() + POLL;
                if let Err(error) = lease::release_dead(self.engine.store()).await {
                    quiet.say(&error);
                }
            }
            // Before the look: what is told of in between is not missed.
            let told = self.engine.store().work_waits();
            let free = self.concurrency.saturating_sub(running.len());
            match self.claim(free).await {
                Ok(claimed) => {
                    quiet.all_is_well();
                    let full = claimed.len() == free;
                    for workflow in claimed {
                        let engine = self.engine.clone();
                        running.spawn(async move { report(workflow.id, engine.run_claimed(workflow).await) });
                    }
                    if full && self.concurrency > running.len() {
                        continue;
                    }
                }
                Err(error) => quiet.say(&error),
            }
            if Instant::now() >= next_beat {
                next_beat = Instant::now() + BEAT;
                if let Err(error) = self.beat(running.len()).await {
                    quiet.say(&error);
                }
            }
            tokio::select! {
                Some(_) = running.join_next() => {}
                () = told => {}
                () = tokio::time::sleep(POLL) => {}
                () = stop.cancelled() => {}
            }
        }
        while running.join_next().await.is_some() {}
        ended.cancel();
        // It ends by itself now.
        let _ = upkeep.await;
        self.leave().await
    }

    /// Takes at most `limit` workflows on.
    async fn claim(&self, limit: usize) -> Result<Vec<WorkflowRecord>> {
        let Ok(limit @ 1..) = u32::try_from(limit) else { return Ok(Vec::new()) };
        let store = self.engine.store();
        let claimant = self.claimant.clone();
        let claimed = store.write(move |tx| {
            Box::pin(async move {
                let now = tx.shared_now().await?;
                let mut claimed = Vec::new();
                for mut workflow in tx.runnable_workflows(&claimant, now, limit).await? {
                    if !place(tx, &mut workflow, &claimant).await? || !tx.has_to_itself(&workflow.subject, now).await? {
                        continue;
                    }
                    let until = lease::until(now);
                    watched::taken_on(&workflow, now);
                    workflow.fence = tx.lease_workflow(workflow.id, &claimant.process, until).await?;
                    (workflow.holder, workflow.lease_until) = (Some(claimant.process.clone()), Some(until));
                    claimed.push(workflow);
                }
                Ok(claimed)
            })
        });
        claimed.await
    }

    async fn beat(&self, running: usize) -> Result<()> {
        let store = self.engine.store();
        let worker = WorkerRecord {
            process: self.claimant.process.clone(),
            host: self.claimant.host.clone(),
            version: crate::VERSION.to_owned(),
            running: u32::try_from(running).unwrap_or(u32::MAX),
            started_at: store.clock().now(),
            seen_at: store.clock().now(),
        };
        let beat = store.write(move |tx| {
            Box::pin(async move {
                tx.put_worker(&worker).await?;
                let silent_since = tx.shared_now().await? - SILENCE;
                tx.forget_workers(None, silent_since).await
            })
        });
        beat.await
    }

    async fn leave(&self) -> Result<()> {
        let process = self.claimant.process.clone();
        let left = self.engine.store().write(move |tx| {
            Box::pin(async move {
                let silent_since = tx.shared_now().await? - SILENCE;
                tx.forget_workers(Some(&process), silent_since).await
            })
        });
        left.await
    }
}

/// Whether a workflow is for this worker. Where its workspace has a local node it is for that node's host, whatever was known
/// when it was enqueued; one that is to make a local node is bound to the host that takes it on.
async fn place(tx: &mut Tx, workflow: &mut WorkflowRecord, claimant: &Claimant) -> Result<bool> {
    let node = match workflow.subject.parse::<WorkspaceId>() {
        Ok(workspace) => tx.node_of(workspace).await?,
        Err(_) => None,
    };
    let local = node.filter(|node| node.kind == ProviderKind::Local.to_string());
    if local.is_none() && workflow.needs != Some(Ability::Local) {
        return Ok(true);
    }
    // Nodes from before there were hosts lie where the store was, and `store import` has written that down.
    let host = local.and_then(|node| node.host).or_else(|| workflow.host.clone());
    let host = host.unwrap_or_else(|| claimant.host.clone());
    if workflow.needs != Some(Ability::Local) || workflow.host.as_ref() != Some(&host) {
        tx.place_workflow(workflow.id, Ability::Local, &host).await?;
        (workflow.needs, workflow.host) = (Some(Ability::Local), Some(host.clone()));
    }
    Ok(host == claimant.host && claimant.abilities.contains(&Ability::Local))
}

/// What is done for all, by one worker at a time: sealing the audit log, and dropping ciphertext that nobody came for.
async fn upkeep(store: Store, process: String, checkpoints: Option<Arc<Checkpoints>>, ended: CancellationToken) {
    let (mut quiet, mut next_expiry) = (Quiet::default(), Instant::now());
    while !ended.is_cancelled() {
        if Instant::now() >= next_expiry {
            next_expiry = Instant::now() + EXPIRY;
            let expired = store.write(|tx| Box::pin(async move { tx.expire_envelopes().await })).await;
            if let Err(error) = expired {
                quiet.say(&error);
            }
        }
        match seal(&store, &process, checkpoints.as_deref()).await {
            Ok(()) => quiet.all_is_well(),
            Err(error) => quiet.say(&error),
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = ended.cancelled() => {}
        }
    }
    let given_back = store.write(move |tx| Box::pin(async move { tx.drop_lease(SEALER, &process).await })).await;
    if let Err(error) = given_back {
        tracing::debug!(error = error.one_line(), "the duty of sealing the audit log runs out by itself");
    }
}

async fn seal(store: &Store, process: &str, checkpoints: Option<&Checkpoints>) -> Result<()> {
    if !audit::is_unsealed(store).await? {
        return Ok(());
    }
    let process = process.to_owned();
    let ours = store.write(move |tx| {
        Box::pin(async move {
            let now = tx.shared_now().await?;
            tx.take_lease(SEALER, &process, now, now + SEALER_LEASE).await
        })
    });
    if ours.await? {
        audit::seal(store).await?;
        if let Some(checkpoints) = checkpoints {
            checkpoints.note(store).await?;
        }
    }
    Ok(())
}

fn report(id: WorkflowId, ended: Result<Outcome>) {
    match ended {
        Ok(Outcome::Failed(error)) => tracing::warn!(%id, error = error.one_line(), "a workflow failed"),
        Ok(Outcome::Parked(error)) => tracing::error!(%id, error = error.one_line(), "a workflow waits for a person"),
        Ok(Outcome::Postponed(error)) => {
            tracing::warn!(%id, error = error.one_line(), "a workflow is tried again later")
        }
        Ok(outcome) => tracing::info!(%id, ?outcome, "a workflow ended"),
        Err(error) => tracing::error!(%id, error = error.one_line(), "a workflow could not be run on"),
    }
}

/// Says what does not work once, not every second.
#[derive(Default)]
struct Quiet(Option<String>);

impl Quiet {
    fn say(&mut self, error: &crate::Error) {
        let line = error.one_line();
        if self.0.as_ref() != Some(&line) {
            match error.kind() {
                Kind::Unavailable => tracing::warn!(error = line, "waiting for the database"),
                _ => tracing::error!(error = line, "looking for work"),
            }
            self.0 = Some(line);
        }
    }

    fn all_is_well(&mut self) {
        if self.0.take().is_some() {
            tracing::info!("all is well again");
        }
    }
}
