//! What hosts were found to hold.

use serde::Serialize;

use crate::clock::Timestamp;

/// What the last sweep of a host found with one kind of provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct SweepRecord {
    /// The host's name.
    pub host: String,
    /// The provider's kind.
    pub provider: String,
    /// When, by the database's clock.
    pub swept_at: Timestamp,
    /// What was found, a list; empty where all is as the record says.
    #[sqlx(json)]
    pub findings: serde_json::Value,
}
