//! Statements for the audit log.

use sqlx::types::Json;

use crate::id::AuditId;
use crate::store::{AuditHead, AuditPersonal, AuditPlace, AuditRow, Reader, Tx};
use crate::{Error, Result};

/// Seals a batch, in SQLite. What it costs must not hang on how many entries wait behind the batch: but for the `+`, SQLite takes
/// few entries to be without a `seq`, and goes through all that are for every batch. (In PostgreSQL the bounds see to that.)
const SEAL: &str = "UPDATE audit_entries SET seq = s.value ->> 'seq', prev_hash = s.value ->> 'prev_hash', \
     hash = s.value ->> 'hash' FROM json_each($1) AS s \
     WHERE position = s.value ->> 'position' AND position BETWEEN $2 AND $3 AND +seq IS NULL";

impl Reader {
    /// At most `limit` entries whose position is above `after`, in the order of appending.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn audit_entries(&mut self, after: i64, limit: u32) -> Result<Vec<AuditRow>> {
        all!(
            self,
            "reading the audit log",
            "SELECT * FROM audit_entries WHERE position > $1 ORDER BY position LIMIT $2",
            after,
            i64::from(limit)
        )
    }

    /// The last `limit` entries, in the order of appending; of one target where `target` is given.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn audit_tail(&mut self, target: Option<&str>, limit: u32) -> Result<Vec<AuditRow>> {
        let mut rows: Vec<AuditRow> = all!(
            self,
            "reading the audit log",
            "SELECT * FROM audit_entries WHERE $1 IS NULL OR target = $1 ORDER BY position DESC LIMIT $2",
            target,
            i64::from(limit)
        )?;
        rows.reverse();
        Ok(rows)
    }

    /// At most `limit` entries whose position is below `before`, the latest first; of one target or actor where it is given.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn audit_page(
        &mut self,
        before: Option<i64>,
        target: Option<&str>,
        actor: Option<&str>,
        limit: u32,
    ) -> Result<Vec<AuditRow>> {
        const DOING: &str = "reading the audit log";
        let (before, limit) = (before.unwrap_or(i64::MAX), i64::from(limit));
        // A statement for each index: one for all of them would look at every entry.
        match (target, actor) {
            (Some(target), _) => all!(
                self,
                DOING,
                "SELECT * FROM audit_entries WHERE target = $1 AND position < $2 AND ($3 IS NULL OR actor = $3) \
                 ORDER BY position DESC LIMIT $4",
                target,
                before,
                actor,
                limit,
            ),
            (None, Some(actor)) => all!(
                self,
                DOING,
                "SELECT * FROM audit_entries WHERE actor = $1 AND position < $2 ORDER BY position DESC LIMIT $3",
                actor,
                before,
                limit,
            ),
            (None, None) => all!(
                self,
                DOING,
                "SELECT * FROM audit_entries WHERE position < $1 ORDER BY position DESC LIMIT $2",
                before,
                limit,
            ),
        }
    }

    /// At most `limit` entries that are not sealed yet, in the order of appending.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn audit_unsealed(&mut self, limit: u32) -> Result<Vec<AuditRow>> {
        all!(
            self,
            "reading the audit log",
            "SELECT * FROM audit_entries WHERE seq IS NULL ORDER BY position LIMIT $1",
            i64::from(limit)
        )
    }

    /// At most `limit` sealed entries whose place in the chain is above `after`, in the order of the chain.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn audit_chain(&mut self, after: i64, limit: u32) -> Result<Vec<AuditRow>> {
        const DOING: &str = "reading the audit log";
        if self.is_postgres() {
            let chain = "SELECT * FROM audit_entries WHERE seq > $1 ORDER BY seq LIMIT $2";
            return all!(self, DOING, chain, after, i64::from(limit));
        }
        // As one value: what sqlx does for each column of each row, a copy and a way between threads, is more than all else
        // that verifying takes. The columns stand in the order of the row's fields.
        let rows: String = one!(
            self,
            DOING,
            "SELECT json_group_array(json_array(position, id, version, at, actor, action, target, outcome, request_id, \
                    json(details), json(personal), seq, prev_hash, hash)) \
             FROM (SELECT * FROM audit_entries WHERE seq > $1 ORDER BY seq LIMIT $2)",
            after,
            i64::from(limit)
        )?;
        serde_json::from_str(&rows).map_err(|error| Error::failed(DOING).because(error))
    }

    /// How many entries are not sealed yet.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn audit_unsealed_count(&mut self) -> Result<i64> {
        one!(self, "reading the audit log", "SELECT count(*) FROM audit_entries WHERE seq IS NULL")
    }

    /// The personal data, where it was not erased, of the sealed entries behind `after` up to `last`.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn audit_personal_between(&mut self, after: i64, last: i64) -> Result<Vec<AuditPersonal>> {
        all!(
            self,
            "reading the audit log's personal data",
            "SELECT p.* FROM audit_personal p JOIN audit_entries e ON e.id = p.entry_id WHERE e.seq > $1 AND e.seq <= $2",
            after,
            last,
        )
    }

    /// The hash of the entry at this place in the chain.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn audit_hash_at(&mut self, seq: i64) -> Result<Option<String>> {
        scalar!(self, "reading the audit log", "SELECT hash FROM audit_entries WHERE seq = $1", seq)
    }

    /// The end of the chain.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn audit_head(&mut self) -> Result<Option<AuditHead>> {
        optional!(self, "reading the audit log's end", "SELECT seq, hash FROM audit_head")
    }

    /// The personal data of an entry that was not erased.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn audit_personal(&mut self, entry: AuditId) -> Result<Vec<AuditPersonal>> {
        all!(
            self,
            "reading the audit log's personal data",
            "SELECT * FROM audit_personal WHERE entry_id = $1 ORDER BY field",
            entry
        )
    }
}

impl Tx {
    /// Appends an entry, unsealed, with its personal data apart. The row's position is the database's to give.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn append_audit(&mut self, row: &AuditRow, personal: &[AuditPersonal]) -> Result<()> {
        execute!(
            self,
            "appending to the audit log",
            "INSERT INTO audit_entries (id, version, at, actor, action, target, outcome, request_id, details, personal) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            row.id,
            i64::from(row.version),
            row.at,
            &row.actor,
            &row.action,
            &row.target,
            &row.outcome,
            &row.request_id,
            Json(&row.details),
            Json(&row.personal)
        )?;
        for datum in personal {
            execute!(
                self,
                "appending to the audit log",
                "INSERT INTO audit_personal (entry_id, field, subject, salt, value) VALUES ($1, $2, $3, $4, $5)",
                datum.entry_id,
                &datum.field,
                &datum.subject,
                &datum.salt,
                &datum.value
            )?;
        }
        Ok(())
    }

    /// Gives unsealed entries their places in the chain, all at once.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn seal_audit(&mut self, places: &[AuditPlace]) -> Result<()> {
        let first = places.first().map_or(0, |place| place.position);
        let last = places.last().map_or(0, |place| place.position);
        execute!(
            self,
            "sealing the audit log",
            (
                SEAL,
                "UPDATE audit_entries AS e SET seq = s.seq, prev_hash = s.prev_hash, hash = s.hash \
                 FROM jsonb_to_recordset($1) AS s(position bigint, seq bigint, prev_hash text, hash text) \
                 WHERE e.position = s.position AND e.position BETWEEN $2 AND $3 AND e.seq IS NULL"
            ),
            Json(places),
            first,
            last
        )
        .map(drop)
    }

    /// Writes down where the chain ends.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn set_audit_head(&mut self, head: &AuditHead) -> Result<()> {
        execute!(
            self,
            "sealing the audit log",
            "INSERT INTO audit_head (one, seq, hash) VALUES (1, $1, $2) \
             ON CONFLICT (one) DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
            head.seq,
            &head.hash
        )
        .map(drop)
    }

    /// Erases a subject's personal data from the log; how many data there were. The chain stays whole.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn erase_audit_personal(&mut self, subject: &str) -> Result<u64> {
        let deleted =
            execute!(self, "erasing personal data", "DELETE FROM audit_personal WHERE subject = $1", subject)?;
        Ok(deleted)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::store::Store;

    #[tokio::test]
    async fn sealing_a_batch_looks_up_its_entries_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().try_into().unwrap(), Arc::new(SystemClock)).await.unwrap();
        let mut reader = store.read().await.unwrap();
        let explain = format!("EXPLAIN QUERY PLAN {SEAL}");
        let plan: Vec<(i64, i64, i64, String)> =
            all!(reader, "explaining", (sqlx::AssertSqlSafe(&*explain)), "[]", 1, 2).unwrap();
        let plan: Vec<&str> = plan.iter().map(|step| &*step.3).collect();
        assert_eq!(plan, ["SCAN s VIRTUAL TABLE INDEX 1:", "SEARCH audit_entries USING INTEGER PRIMARY KEY (rowid=?)"]);
    }
}
