//! Statements for sweeps.

use chrono::TimeDelta;
use sqlx::types::Json;

use crate::Result;
use crate::store::{Reader, SweepRecord, Tx};

/// How long a host without nodes is remembered.
const REMEMBERED: TimeDelta = TimeDelta::days(7);

impl Reader {
    /// What the last sweep of each host found, by host and kind of provider.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn sweeps(&mut self) -> Result<Vec<SweepRecord>> {
        all!(self, "reading the sweeps", "SELECT * FROM sweeps ORDER BY host, provider")
    }

    /// The hosts that have local nodes, or were swept before.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn local_hosts(&mut self) -> Result<Vec<String>> {
        let hosts: Vec<(String,)> = all!(
            self,
            "reading the hosts",
            "SELECT host FROM nodes WHERE state <> 'gone' AND kind = 'local' AND host IS NOT NULL \
             UNION SELECT host FROM sweeps ORDER BY 1",
        )?;
        Ok(hosts.into_iter().map(|(host,)| host).collect())
    }
}

impl Tx {
    /// Records what a sweep found, in the place of what the one before did; sets the time. Forgets hosts that have no local nodes and
    /// were not swept for a week: they are gone.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn put_sweep(&mut self, host: &str, provider: &str, findings: &serde_json::Value) -> Result<()> {
        let now = self.shared_now().await?;
        execute!(
            self,
            "forgetting hosts that are gone",
            "DELETE FROM sweeps WHERE swept_at < $1 AND host NOT IN \
             (SELECT host FROM nodes WHERE state <> 'gone' AND kind = 'local' AND host IS NOT NULL)",
            now - REMEMBERED,
        )?;
        execute!(
            self,
            "recording a sweep",
            "INSERT INTO sweeps (host, provider, swept_at, findings) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (host, provider) DO UPDATE SET swept_at = excluded.swept_at, findings = excluded.findings",
            host,
            provider,
            now,
            Json(findings),
        )
        .map(drop)
    }
}
