//! What people do about workflows: retry, turn round, close, abandon.

use super::engine::note;
use super::{Engine, lease};
use crate::audit::Entry;
use crate::id::WorkflowId;
use crate::store::{Placement, StepState, Tx, WorkflowRecord, WorkflowState};
use crate::{Error, Result};

/// What is done about a workflow that nobody works on.
#[derive(Debug, Clone, Copy)]
pub enum Mend<'a> {
    /// What it has done is taken back by its next run, for this reason.
    TurnBack(&'a str),
    /// It ends, for this reason, and nothing is taken back.
    Close(&'a str),
    /// It is given up.
    Abandon,
}

impl<C: Send + Sync + 'static> Engine<C> {
    /// Makes a parked or failed workflow ready to run again. A parked one goes on in the direction in which it was going;
    /// a failed one, of which nothing is left, begins anew under a new id. Returns the id to run.
    ///
    /// # Errors
    /// Fails where there is no such workflow, or it is neither parked nor failed.
    pub async fn retry(&self, id: WorkflowId) -> Result<WorkflowId> {
        let workflow = self.record(id).await?;
        match workflow.state {
            WorkflowState::Failed => self.begin_anew(workflow).await,
            WorkflowState::Parked => {
                let steps = self.inner.store.read().await?.steps(id).await?;
                let back = steps.iter().any(|step| matches!(step.state, StepState::Undoing | StepState::Undone));
                let state = if back { WorkflowState::Unwinding } else { WorkflowState::Queued };
                self.unpark(workflow, state, "workflow.retry").await?;
                Ok(id)
            }
            state => Err(Error::conflict(format!("the workflow {id} is {state}, neither parked nor failed"))),
        }
    }

    /// Enqueues a failed workflow again, for the same workers. Only the last of its kind and subject: what came after it may be
    /// in use.
    async fn begin_anew(&self, failed: WorkflowRecord) -> Result<WorkflowId> {
        let engine = self.clone();
        let write = self.inner.store.write(move |tx| {
            Box::pin(async move {
                let last = tx.last_workflow(&failed.kind, &failed.subject).await?;
                if let Some(last) = last.filter(|last| last.id != failed.id) {
                    // The same request again finds what the first has made.
                    if !last.state.is_over() {
                        return Ok(last.id);
                    }
                    let error = format!("the workflow {} came after {}, and is {}", last.id, failed.id, last.state);
                    return Err(Error::conflict(error).hint("only the last one of its kind is begun anew"));
                }
                let placement = Placement { needs: failed.needs, host: failed.host };
                engine.enqueue_in(tx, &failed.kind, &failed.subject, failed.params, failed.revision_id, placement).await
            })
        });
        let id = write.await?;
        self.inner.store.tell_of_work();
        Ok(id)
    }

    /// Turns a workflow round that has not ended, parked or not: what it has done is taken back by its next run, which
    /// ends as failed.
    ///
    /// # Errors
    /// Fails where there is no such workflow, it has ended, or another program runs it.
    pub async fn turn_back(&self, id: WorkflowId, reason: &str) -> Result<()> {
        let mut workflow = self.unended(id).await?;
        note(&mut workflow, Some(&Error::failed(reason)));
        self.unpark(workflow, WorkflowState::Unwinding, "workflow.turn_back").await
    }

    /// Ends a workflow that has not ended, parked or not, as failed, and takes nothing back: for flows of which nothing
    /// is to be taken back, when something newer does what they were to do.
    ///
    /// # Errors
    /// As [`Engine::turn_back`].
    pub async fn close(&self, id: WorkflowId, reason: &str) -> Result<()> {
        let mut workflow = self.unended(id).await?;
        note(&mut workflow, Some(&Error::failed(reason)));
        self.settle(workflow, WorkflowState::Failed, "workflow.close").await
    }

    /// Ends a workflow that nobody works on.
    async fn settle(&self, mut workflow: WorkflowRecord, state: WorkflowState, action: &'static str) -> Result<()> {
        let now = self.inner.store.read().await?.shared_now().await?;
        if !lease::is_free(&workflow, now) {
            return Err(busy(workflow.id));
        }
        (workflow.holder, workflow.lease_until, workflow.ended_at) = (None, None, Some(now));
        self.unpark(workflow, state, action).await
    }

    async fn unended(&self, id: WorkflowId) -> Result<WorkflowRecord> {
        let workflow = self.record(id).await?;
        match workflow.state {
            WorkflowState::Succeeded | WorkflowState::Failed => {
                Err(Error::conflict(format!("the workflow {id} has {} already", workflow.state))
                    .hint("`stead workflow list` lists those that are unfinished"))
            }
            _ => Ok(workflow),
        }
    }

    /// Gives up a workflow that is parked, or that nobody works on: it counts as failed, and what it left behind is the
    /// operator's.
    ///
    /// # Errors
    /// Fails where there is no such workflow, it has ended, or another program runs it.
    pub async fn abandon(&self, id: WorkflowId) -> Result<()> {
        let workflow = self.unended(id).await?;
        self.settle(workflow, WorkflowState::Failed, "workflow.abandon").await
    }

    /// As [`Engine::turn_back`], [`Engine::close`] or [`Engine::abandon`], in a transaction of the caller's, which has read the
    /// workflow. Says whether it was done: not where another program runs it, or has just ended it.
    ///
    /// # Errors
    /// Fails where the store does.
    pub async fn mend_in(&self, tx: &mut Tx, mut workflow: WorkflowRecord, how: Mend<'_>) -> Result<bool> {
        let now = tx.shared_now().await?;
        let has_ended = matches!(workflow.state, WorkflowState::Succeeded | WorkflowState::Failed);
        if has_ended || !lease::is_free(&workflow, now) {
            return Ok(false);
        }
        let (state, action) = match how {
            Mend::TurnBack(reason) => {
                note(&mut workflow, Some(&Error::failed(reason)));
                (WorkflowState::Unwinding, "workflow.turn_back")
            }
            Mend::Close(reason) => {
                note(&mut workflow, Some(&Error::failed(reason)));
                (WorkflowState::Failed, "workflow.close")
            }
            Mend::Abandon => (WorkflowState::Failed, "workflow.abandon"),
        };
        (workflow.holder, workflow.lease_until) = (None, None);
        workflow.ended_at = Some(now);
        self.unpark_in(tx, workflow, state, action).await?;
        Ok(true)
    }

    async fn record(&self, id: WorkflowId) -> Result<WorkflowRecord> {
        let found = self.inner.store.read().await?.workflow(id).await?;
        found.ok_or_else(|| Error::input(format!("there is no workflow {id}")).hint("`stead workflow list` lists them"))
    }

    async fn unpark(&self, workflow: WorkflowRecord, state: WorkflowState, action: &'static str) -> Result<()> {
        let engine = self.clone();
        let write = self
            .inner
            .store
            .write(move |tx| Box::pin(async move { engine.unpark_in(tx, workflow, state, action).await }));
        write.await
    }

    async fn unpark_in(
        &self,
        tx: &mut Tx,
        mut workflow: WorkflowRecord,
        state: WorkflowState,
        action: &'static str,
    ) -> Result<()> {
        workflow.state = state;
        if !state.is_over() {
            workflow.ended_at = None;
        }
        if !tx.update_workflow(&workflow).await? {
            return Err(busy(workflow.id));
        }
        let entry = Entry::new(self.settings.actor.clone(), action, &workflow.subject);
        entry.request(workflow.id.to_string()).detail("kind", workflow.kind).append(tx).await
    }
}

fn busy(id: WorkflowId) -> Error {
    Error::failed(format!("the workflow {id} is being run by another program"))
        .hint(format!("`stead workflow show {id}` tells how it gets on"))
}
