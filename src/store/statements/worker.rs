//! Statements for workers: what they take on, that they live, and what one of them does for all.

use sqlx::types::Json;

use crate::Result;
use crate::clock::Timestamp;
use crate::id::WorkflowId;
use crate::store::{Ability, Claimant, Reader, Tx, WorkerRecord, WorkflowRecord};

impl Reader {
    /// The workers that said that they live, the latest first.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn workers(&mut self) -> Result<Vec<WorkerRecord>> {
        all!(self, "reading the workers", "SELECT * FROM workers ORDER BY seen_at DESC, process")
    }

    /// The workflows that processes hold whose name begins with `prefix`.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn held_workflows(&mut self, prefix: &str) -> Result<Vec<WorkflowRecord>> {
        all!(
            self,
            "reading the workflows under way",
            "SELECT * FROM workflows WHERE state IN ('queued', 'running', 'unwinding') \
             AND substr(holder, 1, length($1)) = $1 ORDER BY id",
            prefix,
        )
    }
}

impl Tx {
    /// Workflows that wait for a worker like this one, or whose lease has run out, at most `limit`, the oldest first. Those
    /// about the same subject run one after the other; one that is parked holds nobody up. In
    /// PostgreSQL those that another worker is about to take are passed over, and these are locked for this one.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn runnable_workflows(
        &mut self,
        claimant: &Claimant,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<WorkflowRecord>> {
        if self.is_postgres() {
            // However much waits, only the first few are wanted: they are looked at one after the other, in the order of an index.
            // Left to itself, PostgreSQL looks at all and sorts them, since it expects but one that fits.
            let _: String = one!(
                self,
                "looking for work",
                "SELECT set_config('enable_sort', 'off', true) || set_config('enable_bitmapscan', 'off', true)"
            )?;
        }
        // OFFSET 0 keeps what waits from being joined with itself as a whole.
        all!(
            self,
            "looking for work",
            (
                "SELECT * FROM workflows WHERE state IN ('queued', 'running', 'unwinding') \
                 AND (holder IS NULL OR lease_until <= $1) AND (run_after IS NULL OR run_after <= $1) \
                 AND (needs IS NULL OR needs IN (SELECT value FROM json_each($2))) AND (host IS NULL OR host = $3) \
                 AND kind IN (SELECT value FROM json_each($4)) \
                 AND NOT EXISTS (SELECT 1 FROM workflows o WHERE o.subject = workflows.subject AND o.id <> workflows.id \
                 AND o.state IN ('queued', 'running', 'unwinding') AND (o.id < workflows.id OR o.lease_until > $1)) ORDER BY created_at LIMIT $5",
                "SELECT * FROM workflows WHERE state IN ('queued', 'running', 'unwinding') \
                 AND (holder IS NULL OR lease_until <= $1) AND (run_after IS NULL OR run_after <= $1) \
                 AND (needs IS NULL OR $2 @> to_jsonb(needs)) AND (host IS NULL OR host = $3) \
                 AND $4 @> to_jsonb(kind) \
                 AND NOT EXISTS (SELECT 1 FROM workflows o WHERE o.subject = workflows.subject AND o.id <> workflows.id \
                 AND o.state IN ('queued', 'running', 'unwinding') AND (o.id < workflows.id OR o.lease_until > $1) OFFSET 0) \
                 ORDER BY created_at LIMIT $5 FOR NO KEY UPDATE SKIP LOCKED"
            ),
            now,
            Json(&claimant.abilities),
            &claimant.host,
            Json(&claimant.kinds),
            i64::from(limit),
        )
    }

    /// Binds a workflow to a host, and to workers that can do this.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn place_workflow(&mut self, id: WorkflowId, needs: Ability, host: &str) -> Result<()> {
        execute!(
            self,
            "placing a workflow",
            "UPDATE workflows SET needs = $1, host = $2 WHERE id = $3",
            needs,
            host,
            id,
        )
        .map(drop)
    }

    /// Whether this transaction may take on a workflow about this: nobody works on another one, and nobody else is about to.
    /// In PostgreSQL until the transaction ends.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn has_to_itself(&mut self, subject: &str, now: Timestamp) -> Result<bool> {
        if self.is_postgres() {
            // Who comes second passes it over. What the first has written is seen by the look below, once this is given.
            let first: bool =
                one!(self, "looking for work", "SELECT pg_try_advisory_xact_lock(7381, hashtext($1))", subject)?;
            if !first {
                return Ok(false);
            }
        }
        let others: i64 = one!(
            self,
            "looking for work",
            "SELECT count(*) FROM workflows WHERE subject = $1 AND state IN ('queued', 'running', 'unwinding') \
             AND holder IS NOT NULL AND lease_until > $2",
            subject,
            now,
        )?;
        Ok(others == 0)
    }

    /// Writes down that a worker lives, by the database's clock.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn put_worker(&mut self, worker: &WorkerRecord) -> Result<()> {
        let now = self.shared_now().await?;
        execute!(
            self,
            "recording a worker",
            "INSERT INTO workers (process, host, version, running, started_at, seen_at) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (process) DO UPDATE SET running = excluded.running, seen_at = excluded.seen_at",
            &worker.process,
            &worker.host,
            &worker.version,
            i64::from(worker.running),
            worker.started_at,
            now,
        )
        .map(drop)
    }

    /// Forgets a worker that has ended, and those that were last seen before `silent_since`.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn forget_workers(&mut self, ended: Option<&str>, silent_since: Timestamp) -> Result<()> {
        execute!(
            self,
            "forgetting workers",
            "DELETE FROM workers WHERE process = $1 OR seen_at < $2",
            ended,
            silent_since
        )
        .map(drop)
    }

    /// Takes, or keeps, the lease on a duty until `until`; whether `holder` has it.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn take_lease(&mut self, name: &str, holder: &str, now: Timestamp, until: Timestamp) -> Result<bool> {
        execute!(
            self,
            "taking a lease",
            "INSERT INTO leases (name, holder, until) VALUES ($1, $2, $4) \
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until \
             WHERE leases.holder = excluded.holder OR leases.until <= $3",
            name,
            holder,
            now,
            until,
        )
        .map(|rows| rows == 1)
    }

    /// Gives a duty back.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn drop_lease(&mut self, name: &str, holder: &str) -> Result<()> {
        execute!(self, "giving a lease back", "DELETE FROM leases WHERE name = $1 AND holder = $2", name, holder)
            .map(drop)
    }
}
