//! Statements for the audit log.

use sqlx::types::Json;

use crate::Result;
use crate::id::AuditId;
use crate::store::{AuditHead, AuditPersonal, AuditRow, Reader, Tx, database};

impl Reader {
    /// At most `limit` entries whose position is above `after`, in the order of appending.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn audit_entries(&mut self, after: i64, limit: u32) -> Result<Vec<AuditRow>> {
        sqlx::query_as("SELECT * FROM audit_entries WHERE position > ? ORDER BY position LIMIT ?")
            .bind(after)
            .bind(limit)
            .fetch_all(self.sqlite())
            .await
            .map_err(|error| database("reading the audit log", error))
    }

    /// The last `limit` entries, in the order of appending; of one target where `target` is given.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn audit_tail(&mut self, target: Option<&str>, limit: u32) -> Result<Vec<AuditRow>> {
        let mut rows: Vec<AuditRow> = sqlx::query_as(
            "SELECT * FROM audit_entries WHERE ?1 IS NULL OR target = ?1 ORDER BY position DESC LIMIT ?2",
        )
        .bind(target)
        .bind(limit)
        .fetch_all(self.sqlite())
        .await
        .map_err(|error| database("reading the audit log", error))?;
        rows.reverse();
        Ok(rows)
    }

    /// At most `limit` entries that are not sealed yet, in the order of appending.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn audit_unsealed(&mut self, limit: u32) -> Result<Vec<AuditRow>> {
        sqlx::query_as("SELECT * FROM audit_entries WHERE seq IS NULL ORDER BY position LIMIT ?")
            .bind(limit)
            .fetch_all(self.sqlite())
            .await
            .map_err(|error| database("reading the audit log", error))
    }

    /// At most `limit` sealed entries whose place in the chain is above `after`, in the order of the chain.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn audit_chain(&mut self, after: i64, limit: u32) -> Result<Vec<AuditRow>> {
        sqlx::query_as("SELECT * FROM audit_entries WHERE seq > ? ORDER BY seq LIMIT ?")
            .bind(after)
            .bind(limit)
            .fetch_all(self.sqlite())
            .await
            .map_err(|error| database("reading the audit log", error))
    }

    /// The end of the chain.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn audit_head(&mut self) -> Result<Option<AuditHead>> {
        sqlx::query_as("SELECT seq, hash FROM audit_head")
            .fetch_optional(self.sqlite())
            .await
            .map_err(|error| database("reading the audit log's end", error))
    }

    /// The personal data of an entry that was not erased.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn audit_personal(&mut self, entry: AuditId) -> Result<Vec<AuditPersonal>> {
        sqlx::query_as("SELECT * FROM audit_personal WHERE entry_id = ? ORDER BY field")
            .bind(entry)
            .fetch_all(self.sqlite())
            .await
            .map_err(|error| database("reading the audit log's personal data", error))
    }
}

impl Tx {
    /// Appends an entry, unsealed, with its personal data apart. The row's position is the database's to give.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn append_audit(&mut self, row: &AuditRow, personal: &[AuditPersonal]) -> Result<()> {
        let appending = |error| database("appending to the audit log", error);
        sqlx::query(
            "INSERT INTO audit_entries (id, version, at, actor, action, target, outcome, request_id, details, personal) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(row.id)
        .bind(row.version)
        .bind(row.at)
        .bind(&row.actor)
        .bind(&row.action)
        .bind(&row.target)
        .bind(&row.outcome)
        .bind(&row.request_id)
        .bind(Json(&row.details))
        .bind(Json(&row.personal))
        .execute(self.sqlite())
        .await
        .map_err(appending)?;
        for datum in personal {
            sqlx::query("INSERT INTO audit_personal (entry_id, field, subject, salt, value) VALUES (?, ?, ?, ?, ?)")
                .bind(datum.entry_id)
                .bind(&datum.field)
                .bind(&datum.subject)
                .bind(&datum.salt)
                .bind(&datum.value)
                .execute(self.sqlite())
                .await
                .map_err(appending)?;
        }
        Ok(())
    }

    /// Gives an unsealed entry its place in the chain, and makes it the chain's end.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn seal_audit(&mut self, position: i64, prev_hash: &str, head: &AuditHead) -> Result<()> {
        let sealing = |error| database("sealing the audit log", error);
        sqlx::query("UPDATE audit_entries SET seq = ?, prev_hash = ?, hash = ? WHERE position = ? AND seq IS NULL")
            .bind(head.seq)
            .bind(prev_hash)
            .bind(&head.hash)
            .bind(position)
            .execute(self.sqlite())
            .await
            .map_err(sealing)?;
        sqlx::query(
            "INSERT INTO audit_head (one, seq, hash) VALUES (1, ?, ?) \
             ON CONFLICT (one) DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
        )
        .bind(head.seq)
        .bind(&head.hash)
        .execute(self.sqlite())
        .await
        .map_err(sealing)?;
        Ok(())
    }

    /// Erases a subject's personal data from the log; how many data there were. The chain stays whole.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn erase_audit_personal(&mut self, subject: &str) -> Result<u64> {
        let deleted = sqlx::query("DELETE FROM audit_personal WHERE subject = ?")
            .bind(subject)
            .execute(self.sqlite())
            .await
            .map_err(|error| database("erasing personal data", error))?;
        Ok(deleted.rows_affected())
    }
}
