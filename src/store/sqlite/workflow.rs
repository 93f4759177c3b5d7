//! Statements for workflows and their steps.

use sqlx::types::Json;

use super::signed;
use crate::Result;
use crate::clock::Timestamp;
use crate::id::WorkflowId;
use crate::store::{Listed, Reader, StepRecord, Tx, WorkflowRecord, database};

impl Reader {
    /// A workflow by its id.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn workflow(&mut self, id: WorkflowId) -> Result<Option<WorkflowRecord>> {
        sqlx::query_as("SELECT * FROM workflows WHERE id = ?")
            .bind(id)
            .fetch_optional(self.sqlite())
            .await
            .map_err(|error| database("reading a workflow", error))
    }

    /// The workflow of this kind and subject that is queued, under way or parked.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn live_workflow(&mut self, kind: &str, subject: &str) -> Result<Option<WorkflowRecord>> {
        sqlx::query_as(
            "SELECT * FROM workflows WHERE kind = ? AND subject = ? AND state NOT IN ('succeeded', 'failed')",
        )
        .bind(kind)
        .bind(subject)
        .fetch_optional(self.sqlite())
        .await
        .map_err(|error| database("reading a workflow", error))
    }

    /// The workflow of this kind and subject that was enqueued last.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn last_workflow(&mut self, kind: &str, subject: &str) -> Result<Option<WorkflowRecord>> {
        sqlx::query_as("SELECT * FROM workflows WHERE kind = ? AND subject = ? ORDER BY id DESC LIMIT 1")
            .bind(kind)
            .bind(subject)
            .fetch_optional(self.sqlite())
            .await
            .map_err(|error| database("reading a workflow", error))
    }

    /// Workflows in the order of their making; the live ones include those that are parked.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn workflows(&mut self, listed: Listed) -> Result<Vec<WorkflowRecord>> {
        sqlx::query_as("SELECT * FROM workflows WHERE ?1 OR state NOT IN ('succeeded', 'failed') ORDER BY id")
            .bind(listed == Listed::All)
            .fetch_all(self.sqlite())
            .await
            .map_err(|error| database("reading the workflows", error))
    }

    /// A workflow's steps in their order.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn steps(&mut self, workflow: WorkflowId) -> Result<Vec<StepRecord>> {
        sqlx::query_as("SELECT * FROM workflow_steps WHERE workflow_id = ? ORDER BY position")
            .bind(workflow)
            .fetch_all(self.sqlite())
            .await
            .map_err(|error| database("reading a workflow's steps", error))
    }
}

impl Tx {
    /// Records a new workflow.
    ///
    /// # Errors
    /// Fails where one of its kind and subject is live; see [`Reader::live_workflow`].
    pub async fn insert_workflow(&mut self, workflow: &WorkflowRecord) -> Result<()> {
        sqlx::query(
            "INSERT INTO workflows (id, kind, subject, params, revision_id, state, fence, holder, lease_until, error, \
             created_at, updated_at, ended_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(workflow.id)
        .bind(&workflow.kind)
        .bind(&workflow.subject)
        .bind(Json(&workflow.params))
        .bind(workflow.revision_id)
        .bind(workflow.state)
        .bind(signed(workflow.fence)?)
        .bind(&workflow.holder)
        .bind(workflow.lease_until)
        .bind(&workflow.error)
        .bind(workflow.created_at)
        .bind(workflow.updated_at)
        .bind(workflow.ended_at)
        .execute(self.sqlite())
        .await
        .map_err(|error| database("recording a workflow", error))?;
        Ok(())
    }

    /// Gives the lease on a workflow to `holder`, under a new fence. Whether the lease is free is the caller's to judge,
    /// in this same transaction.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn lease_workflow(&mut self, id: WorkflowId, holder: &str, until: Timestamp) -> Result<u64> {
        let (fence, now) = (self.next_fence().await?, self.now());
        sqlx::query("UPDATE workflows SET fence = ?, holder = ?, lease_until = ?, updated_at = ? WHERE id = ?")
            .bind(signed(fence)?)
            .bind(holder)
            .bind(until)
            .bind(now)
            .bind(id)
            .execute(self.sqlite())
            .await
            .map_err(|error| database("leasing a workflow", error))?;
        Ok(fence)
    }

    /// Renews a lease; whether it is still ours.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn renew_lease(&mut self, id: WorkflowId, fence: u64, until: Timestamp) -> Result<bool> {
        let renewed =
            sqlx::query("UPDATE workflows SET lease_until = ? WHERE id = ? AND fence = ? AND holder IS NOT NULL")
                .bind(until)
                .bind(id)
                .bind(signed(fence)?)
                .execute(self.sqlite())
                .await
                .map_err(|error| database("renewing a lease", error))?;
        Ok(renewed.rows_affected() == 1)
    }

    /// Gives a lease back, if it is still ours; the workflow's state stays.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn release_lease(&mut self, id: WorkflowId, fence: u64) -> Result<()> {
        sqlx::query("UPDATE workflows SET holder = NULL, lease_until = NULL WHERE id = ? AND fence = ?")
            .bind(id)
            .bind(signed(fence)?)
            .execute(self.sqlite())
            .await
            .map_err(|error| database("giving a lease back", error))?;
        Ok(())
    }

    /// Writes a workflow's state, holder, lease, error and end under its own fence; sets the time. Returns false, and
    /// writes nothing, where the lease was taken by another.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn update_workflow(&mut self, workflow: &WorkflowRecord) -> Result<bool> {
        let now = self.now();
        let updated = sqlx::query(
            "UPDATE workflows SET state = ?, holder = ?, lease_until = ?, error = ?, ended_at = ?, updated_at = ? \
             WHERE id = ? AND fence = ?",
        )
        .bind(workflow.state)
        .bind(&workflow.holder)
        .bind(workflow.lease_until)
        .bind(&workflow.error)
        .bind(workflow.ended_at)
        .bind(now)
        .bind(workflow.id)
        .bind(signed(workflow.fence)?)
        .execute(self.sqlite())
        .await
        .map_err(|error| database("writing a workflow", error))?;
        Ok(updated.rows_affected() == 1)
    }

    /// Writes a workflow's state and error under its own fence, and leaves the lease to whoever renews it; sets the time.
    /// Returns false, and writes nothing, where the lease was taken by another.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn update_workflow_state(&mut self, workflow: &WorkflowRecord) -> Result<bool> {
        let now = self.now();
        let updated =
            sqlx::query("UPDATE workflows SET state = ?, error = ?, updated_at = ? WHERE id = ? AND fence = ?")
                .bind(workflow.state)
                .bind(&workflow.error)
                .bind(now)
                .bind(workflow.id)
                .bind(signed(workflow.fence)?)
                .execute(self.sqlite())
                .await
                .map_err(|error| database("writing a workflow", error))?;
        Ok(updated.rows_affected() == 1)
    }

    /// Writes a step under the fence of its workflow's lease. Returns false, and writes nothing, where the lease was
    /// taken by another.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn put_step(&mut self, step: &StepRecord, fence: u64) -> Result<bool> {
        let put = sqlx::query(
            "INSERT INTO workflow_steps (workflow_id, position, name, state, attempt, output, error, started_at, ended_at) \
             SELECT id, ?, ?, ?, ?, ?, ?, ?, ? FROM workflows WHERE id = ? AND fence = ? \
             ON CONFLICT (workflow_id, position) DO UPDATE SET state = excluded.state, attempt = excluded.attempt, \
             output = excluded.output, error = excluded.error, started_at = excluded.started_at, \
             ended_at = excluded.ended_at",
        )
        .bind(step.position)
        .bind(&step.name)
        .bind(step.state)
        .bind(step.attempt)
        .bind(step.output.as_ref().map(Json))
        .bind(&step.error)
        .bind(step.started_at)
        .bind(step.ended_at)
        .bind(step.workflow_id)
        .bind(signed(fence)?)
        .execute(self.sqlite())
        .await
        .map_err(|error| database("writing a step", error))?;
        Ok(put.rows_affected() == 1)
    }
}
