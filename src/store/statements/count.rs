//! Statements that count, for those who watch.

use crate::Result;
use crate::clock::Timestamp;
use crate::store::Reader;

/// Live workflows of a kind in a state.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct WorkflowCount {
    /// The flow's name.
    pub kind: String,
    /// The state.
    pub state: String,
    /// How many there are.
    pub count: i64,
    /// When the oldest of them was enqueued.
    pub oldest: Timestamp,
}

/// Things in a state.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct StateCount {
    /// The state.
    pub state: String,
    /// How many there are.
    pub count: i64,
}

/// Leases on workflows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct LeaseCount {
    /// Those that hold.
    pub held: i64,
    /// Those that have run out, and that nobody has taken over yet.
    pub expired: i64,
}

impl Reader {
    /// The leases on workflows at a moment of [`Reader::shared_now`].
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn count_leases(&mut self, now: Timestamp) -> Result<LeaseCount> {
        let counted = optional!(
            self,
            "counting the leases",
            "SELECT count(CASE WHEN lease_until > $1 THEN 1 END) AS held, \
             count(CASE WHEN lease_until <= $1 THEN 1 END) AS expired FROM workflows \
             WHERE holder IS NOT NULL AND state NOT IN ('succeeded', 'failed')",
            now
        );
        Ok(counted?.unwrap_or_default())
    }

    /// The workflows that have not ended, by kind and state.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn count_workflows(&mut self) -> Result<Vec<WorkflowCount>> {
        all!(
            self,
            "counting the workflows",
            "SELECT kind, state, count(*) AS count, min(created_at) AS oldest FROM workflows \
             WHERE state NOT IN ('succeeded', 'failed') GROUP BY kind, state ORDER BY kind, state",
        )
    }

    /// The nodes that are not gone, by state.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn count_nodes(&mut self) -> Result<Vec<StateCount>> {
        all!(
            self,
            "counting the nodes",
            "SELECT state, count(*) AS count FROM nodes WHERE state <> 'gone' GROUP BY state ORDER BY state",
        )
    }

    /// The workspaces that are not gone, by state.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn count_workspaces(&mut self) -> Result<Vec<StateCount>> {
        all!(
            self,
            "counting the workspaces",
            "SELECT state, count(*) AS count FROM workspaces WHERE state <> 'gone' GROUP BY state ORDER BY state",
        )
    }
}
