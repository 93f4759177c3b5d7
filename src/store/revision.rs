//! Revisions: numbered, immutable snapshots of the fleet's files.

use serde::Serialize;

use super::BlobKey;
use crate::clock::Timestamp;
use crate::id::RevisionId;

/// A published snapshot of the fleet's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Revision {
    /// Its id.
    pub id: RevisionId,
    /// 1, 2, … in the order of publication.
    #[sqlx(try_from = "i64")]
    pub number: u32,
    /// SHA-256 over the snapshot, in hexadecimal; equal content has an equal digest.
    pub digest: String,
    /// Where the snapshot lies.
    pub blob: BlobKey,
    /// When it was published.
    pub created_at: Timestamp,
    /// Who published it.
    pub created_by: String,
}
