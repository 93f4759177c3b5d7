//! Statements for workflows and their steps.

use sqlx::types::Json;

use super::signed;
use crate::Result;
use crate::clock::Timestamp;
use crate::id::WorkflowId;
use crate::store::work::CHANNEL;
use crate::store::{Listed, Reader, StepRecord, Tx, WorkflowRecord, WorkflowState};

impl Reader {
    /// A workflow by its id.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn workflow(&mut self, id: WorkflowId) -> Result<Option<WorkflowRecord>> {
        held!(self, "reading a workflow", "SELECT * FROM workflows WHERE id = $1", id)
    }

    /// The workflow of this kind and subject that is queued, under way or parked.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn live_workflow(&mut self, kind: &str, subject: &str) -> Result<Option<WorkflowRecord>> {
        held!(
            self,
            "reading a workflow",
            "SELECT * FROM workflows WHERE kind = $1 AND subject = $2 AND state NOT IN ('succeeded', 'failed')",
            kind,
            subject
        )
    }

    /// The workflow of this kind and subject that was enqueued last.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn last_workflow(&mut self, kind: &str, subject: &str) -> Result<Option<WorkflowRecord>> {
        optional!(
            self,
            "reading a workflow",
            "SELECT * FROM workflows WHERE kind = $1 AND subject = $2 ORDER BY id DESC LIMIT 1",
            kind,
            subject
        )
    }

    /// Workflows in the order of their making; the live ones include those that are parked.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn workflows(&mut self, listed: Listed) -> Result<Vec<WorkflowRecord>> {
        all!(
            self,
            "reading the workflows",
            "SELECT * FROM workflows WHERE $1 OR state NOT IN ('succeeded', 'failed') ORDER BY id",
            listed == Listed::All
        )
    }

    /// At most `limit` workflows whose id is below `before`, the latest first.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn workflows_page(&mut self, page: &WorkflowPage) -> Result<Vec<WorkflowRecord>> {
        all!(
            self,
            "reading the workflows",
            (
                "SELECT * FROM workflows WHERE ($1 IS NULL OR id < $1) AND ($2 IS NULL OR state = $2) \
                 AND ($3 IS NULL OR kind = $3) AND ($4 IS NULL OR subject IN (SELECT value FROM json_each($4))) \
                 ORDER BY id DESC LIMIT $5",
                "SELECT * FROM workflows WHERE ($1 IS NULL OR id < $1) AND ($2 IS NULL OR state = $2) \
                 AND ($3 IS NULL OR kind = $3) AND ($4 IS NULL OR subject IN (SELECT jsonb_array_elements_text($4))) \
                 ORDER BY id DESC LIMIT $5"
            ),
            page.before,
            page.state,
            page.kind.as_deref(),
            page.subjects.as_ref().map(Json),
            i64::from(page.limit),
        )
    }

    /// A workflow's steps in their order.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn steps(&mut self, workflow: WorkflowId) -> Result<Vec<StepRecord>> {
        all!(
            self,
            "reading a workflow's steps",
            "SELECT * FROM workflow_steps WHERE workflow_id = $1 ORDER BY position",
            workflow
        )
    }
}

/// Which workflows a page holds.
#[derive(Debug, Clone, Default)]
pub struct WorkflowPage {
    /// Those before this one.
    pub before: Option<WorkflowId>,
    /// Those in this state.
    pub state: Option<WorkflowState>,
    /// Those of this kind.
    pub kind: Option<String>,
    /// Those about one of these: ids.
    pub subjects: Option<Vec<String>>,
    /// The most that the page holds.
    pub limit: u32,
}

impl Tx {
    /// Records a new workflow.
    ///
    /// # Errors
    /// Fails where one of its kind and subject is live; see [`Reader::live_workflow`].
    pub async fn insert_workflow(&mut self, workflow: &WorkflowRecord) -> Result<()> {
        execute!(
            self,
            "recording a workflow",
            "INSERT INTO workflows (id, kind, subject, params, revision_id, state, fence, holder, lease_until, error, \
             created_at, updated_at, ended_at, needs, host, run_after, trace) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
            workflow.id,
            &workflow.kind,
            &workflow.subject,
            Json(&workflow.params),
            workflow.revision_id,
            workflow.state,
            signed(workflow.fence)?,
            &workflow.holder,
            workflow.lease_until,
            &workflow.error,
            workflow.created_at,
            workflow.updated_at,
            workflow.ended_at,
            workflow.needs,
            &workflow.host,
            workflow.run_after,
            &workflow.trace,
        )?;
        self.tell_of_work().await
    }

    /// Tells other programs' workers of new work, once the transaction is committed.
    async fn tell_of_work(&mut self) -> Result<()> {
        if self.holds_rows() {
            execute!(self, "telling of new work", "SELECT pg_notify($1, '')", CHANNEL)?;
        }
        Ok(())
    }

    /// Gives the lease on a workflow to `holder`, under a new fence. Whether the lease is free is the caller's to judge,
    /// in this same transaction.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn lease_workflow(&mut self, id: WorkflowId, holder: &str, until: Timestamp) -> Result<u64> {
        let (fence, now) = (self.next_fence().await?, self.now());
        execute!(
            self,
            "leasing a workflow",
            "UPDATE workflows SET fence = $1, holder = $2, lease_until = $3, updated_at = $4 WHERE id = $5",
            signed(fence)?,
            holder,
            until,
            now,
            id
        )?;
        Ok(fence)
    }

    /// Renews a lease; whether it is still ours.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn renew_lease(&mut self, id: WorkflowId, fence: u64, until: Timestamp) -> Result<bool> {
        let renewed = execute!(
            self,
            "renewing a lease",
            "UPDATE workflows SET lease_until = $1 WHERE id = $2 AND fence = $3 AND holder IS NOT NULL",
            until,
            id,
            signed(fence)?
        )?;
        Ok(renewed == 1)
    }

    /// Gives a lease back, if it is still ours; the workflow's state stays. It is taken on again from `again` on.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn release_lease(&mut self, id: WorkflowId, fence: u64, again: Option<Timestamp>) -> Result<()> {
        execute!(
            self,
            "giving a lease back",
            "UPDATE workflows SET holder = NULL, lease_until = NULL, run_after = $1 WHERE id = $2 AND fence = $3",
            again,
            id,
            signed(fence)?
        )?;
        Ok(())
    }

    /// Writes down where an embedded store's local nodes lie, and that its unfinished work is for that host: until now there
    /// was but one.
    pub(in crate::store) async fn settle(&mut self, host: &str) -> Result<()> {
        execute!(
            self,
            "writing nodes' hosts",
            "UPDATE nodes SET host = $1 WHERE host IS NULL AND kind = 'local'",
            host
        )?;
        execute!(
            self,
            "placing workflows",
            "UPDATE workflows SET host = $1 WHERE host IS NULL AND state NOT IN ('succeeded', 'failed')",
            host,
        )
        .map(drop)
    }

    /// Gives all leases back, whoever holds them: for a store that nobody works on yet.
    pub(in crate::store) async fn release_leases(&mut self) -> Result<()> {
        execute!(self, "giving leases back", "UPDATE workflows SET holder = NULL, lease_until = NULL").map(drop)
    }

    /// Writes a workflow's state, holder, lease, error and end under its own fence; sets the time. Returns false, and
    /// writes nothing, where the lease was taken by another.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn update_workflow(&mut self, workflow: &WorkflowRecord) -> Result<bool> {
        let now = self.now();
        let updated = execute!(
            self,
            "writing a workflow",
            "UPDATE workflows SET state = $1, holder = $2, lease_until = $3, error = $4, ended_at = $5, updated_at = $6, \
             run_after = $7, error_kind = $8 WHERE id = $9 AND fence = $10",
            workflow.state,
            &workflow.holder,
            workflow.lease_until,
            &workflow.error,
            workflow.ended_at,
            now,
            workflow.run_after,
            &workflow.error_kind,
            workflow.id,
            signed(workflow.fence)?,
        )?;
        Ok(updated == 1)
    }

    /// Writes a workflow's state, error and trace under its own fence, and leaves the lease to whoever renews it; sets the time.
    /// Returns false, and writes nothing, where the lease was taken by another.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn update_workflow_state(&mut self, workflow: &WorkflowRecord) -> Result<bool> {
        let now = self.now();
        let updated = execute!(
            self,
            "writing a workflow",
            "UPDATE workflows SET state = $1, error = $2, trace = $3, updated_at = $4 WHERE id = $5 AND fence = $6",
            workflow.state,
            &workflow.error,
            &workflow.trace,
            now,
            workflow.id,
            signed(workflow.fence)?
        )?;
        Ok(updated == 1)
    }

    /// Writes a step under the fence of its workflow's lease. Returns false, and writes nothing, where the lease was
    /// taken by another.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn put_step(&mut self, step: &StepRecord, fence: u64) -> Result<bool> {
        // The workflow is held meanwhile: its lease is not taken between the look and the write.
        let put = execute!(
            self,
            "writing a step",
            (
                "INSERT INTO workflow_steps (workflow_id, position, name, state, attempt, output, error, started_at, \
                 ended_at) SELECT id, $1, $2, $3, $4, $5, $6, $7, $8 FROM workflows WHERE id = $9 AND fence = $10 \
                 ON CONFLICT (workflow_id, position) DO UPDATE SET state = excluded.state, attempt = excluded.attempt, \
                 output = excluded.output, error = excluded.error, started_at = excluded.started_at, \
                 ended_at = excluded.ended_at",
                "INSERT INTO workflow_steps (workflow_id, position, name, state, attempt, output, error, started_at, \
                 ended_at) SELECT id, $1, $2, $3, $4, $5, $6, $7, $8 FROM workflows WHERE id = $9 AND fence = $10 FOR SHARE \
                 ON CONFLICT (workflow_id, position) DO UPDATE SET state = excluded.state, attempt = excluded.attempt, \
                 output = excluded.output, error = excluded.error, started_at = excluded.started_at, \
                 ended_at = excluded.ended_at"
            ),
            i64::from(step.position),
            &step.name,
            step.state,
            i64::from(step.attempt),
            step.output.as_ref().map(Json),
            &step.error,
            step.started_at,
            step.ended_at,
            step.workflow_id,
            signed(fence)?
        )?;
        Ok(put == 1)
    }
}
