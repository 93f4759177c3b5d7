//! Entries, and how an act appends one.

use std::collections::BTreeMap;

use hmac::{Hmac, Mac};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::canonical::{Part, object};
use crate::id::AuditId;
use crate::store::{AuditPersonal, AuditRow, Tx};
use crate::{Error, Result};

/// The version of an entry's form, which is what is hashed.
pub const VERSION: u32 = 1;

/// An act, to be appended to the log.
#[derive(Debug, Clone)]
#[must_use = "an entry is in the log once it is appended"]
pub struct Entry {
    actor: String,
    action: String,
    target: String,
    outcome: String,
    request: Option<String>,
    details: Map<String, Value>,
    personal: Vec<(String, String, String)>,
}

impl Entry {
    /// Who (`local:root`, an account's id) did what (`node.create`) to what (an id); the outcome is `done` until
    /// [`Entry::outcome`] says otherwise. None of the three is personal data.
    pub fn new(actor: impl Into<String>, action: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            actor: actor.into(),
            action: action.into(),
            target: target.into(),
            outcome: "done".into(),
            request: None,
            details: Map::new(),
            personal: Vec::new(),
        }
    }

    /// How it ended.
    pub fn outcome(mut self, outcome: impl Into<String>) -> Self {
        self.outcome = outcome.into();
        self
    }

    /// The request or workflow in whose course it was done.
    pub fn request(mut self, id: impl Into<String>) -> Self {
        self.request = Some(id.into());
        self
    }

    /// More about the act. Never personal data, never a secret, no fractions.
    pub fn detail(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.details.insert(name.into(), value.into());
        self
    }

    /// A datum about a person; `subject` is the id by which all of that person's data is erased.
    pub fn personal(mut self, field: impl Into<String>, subject: impl Into<String>, value: impl Into<String>) -> Self {
        self.personal.push((field.into(), subject.into(), value.into()));
        self
    }

    /// Appends the entry, in the transaction of the act.
    ///
    /// # Errors
    /// Fails where the store does, and where a detail cannot be hashed.
    pub async fn append(self, tx: &mut Tx) -> Result<()> {
        let id = AuditId::new();
        let (mut commitments, mut apart) = (BTreeMap::new(), Vec::new());
        for (field, subject, value) in self.personal {
            let mut salt = [0; 32];
            getrandom::fill(&mut salt).map_err(|error| Error::failed(format!("taking randomness: {error}")))?;
            let salt = hex::encode(salt);
            commitments.insert(field.clone(), commitment(&salt, &field, &value)?);
            apart.push(AuditPersonal { entry_id: id, field, subject, salt, value });
        }
        let row = AuditRow {
            position: 0,
            id,
            version: VERSION,
            at: tx.now(),
            actor: self.actor,
            action: self.action,
            target: self.target,
            outcome: self.outcome,
            request_id: self.request,
            details: Value::Object(self.details),
            personal: commitments,
            seq: None,
            prev_hash: None,
            hash: None,
        };
        // What cannot be hashed must fail the act, not the sealer.
        hash(&row, 0, "")?;
        tx.append_audit(&row, &apart).await
    }
}

/// HMAC-SHA-256 of field name and value under the salt, in hexadecimal: hides the value from whoever lacks the salt, even
/// where the value is easy to guess.
pub(super) fn commitment(salt: &str, field: &str, value: &str) -> Result<String> {
    let salt = hex::decode(salt).map_err(|error| Error::failed("a commitment's salt").because(error))?;
    let mut mac =
        Hmac::<Sha256>::new_from_slice(&salt).map_err(|error| Error::failed("a commitment").because(error))?;
    mac.update(field.as_bytes());
    mac.update(&[0]);
    mac.update(value.as_bytes());
    Ok(hex::encode(mac.finalize().into_bytes()))
}

/// SHA-256 of the previous hash (in hexadecimal) and the entry's canonical JSON, in hexadecimal.
pub(super) fn hash(row: &AuditRow, seq: i64, prev: &str) -> Result<String> {
    let at = row.at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    // In the order of their names.
    let entry = object([
        ("action", Part::Text(Some(&row.action))),
        ("actor", Part::Text(Some(&row.actor))),
        ("at", Part::Text(Some(&at))),
        ("details", Part::Value(&row.details)),
        ("id", Part::Text(Some(&row.id.to_string()))),
        ("outcome", Part::Text(Some(&row.outcome))),
        ("personal", Part::Texts(&row.personal)),
        ("request_id", Part::Text(row.request_id.as_deref())),
        ("seq", Part::Number(seq)),
        ("target", Part::Text(Some(&row.target))),
        ("version", Part::Number(row.version.into())),
    ])?;
    let mut hasher = Sha256::new();
    hasher.update(prev.as_bytes());
    hasher.update(entry.as_bytes());
    Ok(hex::encode(hasher.finalize()))
}
