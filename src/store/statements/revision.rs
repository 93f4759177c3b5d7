//! Statements for revisions.

use crate::Result;
use crate::id::RevisionId;
use crate::store::{BlobKey, Reader, Revision, Turn, Tx};

impl Reader {
    /// A revision by its id.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn revision(&mut self, id: RevisionId) -> Result<Option<Revision>> {
        optional!(self, "reading a revision", "SELECT * FROM revisions WHERE id = $1", id)
    }

    /// The revision published last.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn latest_revision(&mut self) -> Result<Option<Revision>> {
        optional!(self, "reading the latest revision", "SELECT * FROM revisions ORDER BY number DESC LIMIT 1")
    }

    /// All revisions, the latest first.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn revisions(&mut self) -> Result<Vec<Revision>> {
        all!(self, "reading the revisions", "SELECT * FROM revisions ORDER BY number DESC")
    }
}

impl Tx {
    /// Publishes a snapshot whose blob is stored already. Returns the latest revision where that has the same digest,
    /// and whether a new one was made.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn publish(&mut self, digest: &str, blob: &BlobKey, by: &str) -> Result<(Revision, bool)> {
        self.take_turn(Turn::Revisions).await?;
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
        execute!(
            self,
            "publishing a revision",
            "INSERT INTO revisions (id, number, digest, blob, created_at, created_by) VALUES ($1, $2, $3, $4, $5, $6)",
            revision.id,
            i64::from(revision.number),
            &revision.digest,
            &revision.blob,
            revision.created_at,
            &revision.created_by
        )?;
        Ok((revision, true))
    }
}
