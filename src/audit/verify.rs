//! Verification: recomputes the chain and names the first entry where it breaks.

use std::fmt;

use serde::Serialize;

use super::VERSION;
use super::entry::{commitment, hash};
use crate::Result;
use crate::id::AuditId;
use crate::store::{AuditHead, AuditRow, Reader, Store};

const BATCH: u32 = 500;

/// What verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many sealed entries are as they were sealed, before the first break.
    pub verified: i64,
    /// How many entries are appended and not sealed yet.
    pub unsealed: usize,
    /// The end of the chain, for comparison with one noted elsewhere.
    pub head: Option<AuditHead>,
    /// The first break.
    pub broken: Option<Break>,
}

/// Where, and how, the chain breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Break {
    /// The place in the chain.
    pub seq: i64,
    /// The entry, where there is one.
    pub id: Option<AuditId>,
    /// How.
    pub fault: Fault,
}

/// How a chain can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// The entry is not what was sealed.
    Changed,
    /// The entry is missing.
    Missing,
    /// The entry stands where another was sealed.
    Reordered,
    /// The chain ends before its recorded end.
    Cut,
    /// The recorded end is missing, or is another than the chain's.
    Head,
    /// Personal data that lies apart is not what the entry has a commitment to.
    Personal,
    /// A later version of stead wrote the entry in a form that this one does not know.
    Unknown,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.fault {
            Fault::Changed => "was changed after it was sealed",
            Fault::Missing => "is missing",
            Fault::Reordered => "is not where it was sealed",
            Fault::Cut => "is missing, and so is all that followed: the log was cut short",
            Fault::Head => "is the last one, but the log's recorded end is another",
            Fault::Personal => "has personal data that is not what was recorded",
            Fault::Unknown => "was written by a later version of stead",
        };
        match self.id {
            Some(id) => write!(f, "entry {} ({id}) {what}", self.seq),
            None => write!(f, "entry {} {what}", self.seq),
        }
    }
}

/// Recomputes the chain from its beginning.
///
/// # Errors
/// Fails where the store cannot be read. A broken chain is a [`Report`].
pub async fn verify(store: &Store) -> Result<Report> {
    let mut reader = store.read().await?;
    let recorded = reader.audit_head().await?;
    let unsealed = reader.audit_unsealed(u32::MAX).await?.len();
    let mut head = AuditHead { seq: 0, hash: String::new() };
    let report = |verified, broken| Report { verified, unsealed, head: recorded.clone(), broken };
    loop {
        let rows = reader.audit_chain(head.seq, BATCH).await?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            if let Some(broken) = check(&mut reader, row, &head).await? {
                return Ok(report(head.seq, Some(broken)));
            }
            head = AuditHead { seq: head.seq + 1, hash: row.hash.clone().unwrap_or_default() };
        }
    }
    let broken = match &recorded {
        Some(recorded) if recorded.seq > head.seq => Some(Break { seq: head.seq + 1, id: None, fault: Fault::Cut }),
        Some(recorded) if *recorded != head => Some(Break { seq: head.seq, id: None, fault: Fault::Head }),
        None if head.seq > 0 => Some(Break { seq: head.seq, id: None, fault: Fault::Head }),
        _ => None,
    };
    Ok(report(head.seq, broken))
}

async fn check(reader: &mut Reader, row: &AuditRow, head: &AuditHead) -> Result<Option<Break>> {
    let seq = head.seq + 1;
    let broken = |fault| Ok(Some(Break { seq, id: Some(row.id), fault }));
    if row.seq != Some(seq) {
        return Ok(Some(Break { seq, id: None, fault: Fault::Missing }));
    }
    if row.version > VERSION {
        return broken(Fault::Unknown);
    }
    let (prev, own) = (row.prev_hash.as_deref().unwrap_or_default(), row.hash.as_deref().unwrap_or_default());
    let intact = hash(row, seq, prev).is_ok_and(|hash| hash == own);
    if !intact {
        // The content of another place in the chain still answers to that place's number.
        let moved = (1..=seq + i64::from(BATCH)).any(|at| hash(row, at, prev).is_ok_and(|hash| hash == own));
        return broken(if moved { Fault::Reordered } else { Fault::Changed });
    }
    if prev != head.hash {
        return broken(Fault::Reordered);
    }
    for datum in reader.audit_personal(row.id).await? {
        if row.personal.get(&datum.field) != commitment(&datum.salt, &datum.field, &datum.value).ok().as_ref() {
            return broken(Fault::Personal);
        }
    }
    Ok(None)
}
