//! The audit log's rows; what they mean is the room `audit`'s affair.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::AuditId;

/// One entry of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, sqlx::FromRow)]
pub struct AuditRow {
    /// The order of appending. Has gaps where a transaction was taken back.
    pub position: i64,
    /// Its id.
    pub id: AuditId,
    /// The version of the entry's form.
    #[sqlx(try_from = "i64")]
    pub version: u32,
    /// When the act happened.
    pub at: Timestamp,
    /// Who did it.
    pub actor: String,
    /// What was done (`node.create`).
    pub action: String,
    /// To what: an id.
    pub target: String,
    /// How it ended.
    pub outcome: String,
    /// The request or workflow in whose course it was done.
    pub request_id: Option<String>,
    /// More about the act; no personal data.
    #[sqlx(json)]
    pub details: serde_json::Value,
    /// Commitments to personal data, by field.
    #[sqlx(json)]
    pub personal: BTreeMap<String, String>,
    /// Its place in the chain, 1, 2, … without gaps; none while it is unsealed.
    pub seq: Option<i64>,
    /// The hash of the entry before it, in hexadecimal.
    pub prev_hash: Option<String>,
    /// Its own hash, in hexadecimal.
    pub hash: Option<String>,
}

/// Personal data of an entry, with the salt that its commitment was made with.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct AuditPersonal {
    /// The entry.
    pub entry_id: AuditId,
    /// The field's name.
    pub field: String,
    /// Whose data it is: an id.
    pub subject: String,
    /// The salt, in hexadecimal.
    pub salt: String,
    /// The data.
    pub value: String,
}

/// The place that an entry is given in the chain.
#[derive(Debug, Clone, Serialize)]
pub struct AuditPlace {
    /// The entry, by the order of appending.
    pub position: i64,
    /// Its place, 1, 2, …
    pub seq: i64,
    /// The hash of the entry before it, in hexadecimal.
    pub prev_hash: String,
    /// Its own hash, in hexadecimal.
    pub hash: String,
}

/// The last sealed entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct AuditHead {
    /// Its place in the chain.
    pub seq: i64,
    /// Its hash.
    pub hash: String,
}
