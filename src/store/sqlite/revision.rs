//! Statements for revisions.

use crate::Result;
use crate::id::RevisionId;
use crate::store::{BlobKey, Reader, Revision, Tx, database};

impl Reader {
    /// A revision by its id.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn revision(&mut self, id: RevisionId) -> Result<Option<Revision>> {
        sqlx::query_as("SELECT * FROM revisions WHERE id = ?")
            .bind(id)
            .fetch_optional(self.sqlite())
            .await
            .map_err(|error| database("reading a revision", error))
    }

    /// The revision published last.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn latest_revision(&mut self) -> Result<Option<Revision>> {
        sqlx::query_as("SELECT * FROM revisions ORDER BY number DESC LIMIT 1")
            .fetch_optional(self.sqlite())
            .await
            .map_err(|error| database("reading the latest revision", error))
    }

    /// All revisions, the latest first.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn revisions(&mut self) -> Result<Vec<Revision>> {
        sqlx::query_as("SELECT * FROM revisions ORDER BY number DESC")
            .fetch_all(self.sqlite())
            .await
            .map_err(|error| database("reading the revisions", error))
    }
}

impl Tx {
    /// Publishes a snapshot whose blob is stored already. Returns the latest revision where that has the same digest,
    /// and whether a new one was made.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn publish(&mut self, digest: &str, blob: &BlobKey, by: &str) -> Result<(Revision, bool)> {
        let latest = self.latest_revision().await?;
        let number = match latest {
            Some(latest) if latest.digest == digest => return Ok((latest, false)),
            Some(latest) => latest.number + 1,
            None => 1,
        };
        let revision = Revision {
            id: RevisionId::new(),
            number,
            digest: digest.to_owned(),
            blob: blob.clone(),
            created_at: self.now(),
            created_by: by.to_owned(),
        };
        sqlx::query(
            "INSERT INTO revisions (id, number, digest, blob, created_at, created_by) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(revision.id)
        .bind(revision.number)
        .bind(&revision.digest)
        .bind(&revision.blob)
        .bind(revision.created_at)
        .bind(&revision.created_by)
        .execute(self.sqlite())
        .await
        .map_err(|error| database("publishing a revision", error))?;
        Ok((revision, true))
    }
}
