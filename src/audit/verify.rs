//! Verification: recomputes the chain and names the first entry where it breaks.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::Serialize;

use super::entry::{commitment, hash};
use super::{Checkpoint, VERSION};
use crate::id::AuditId;
use crate::store::{AuditHead, AuditPersonal, AuditRow, Reader, Store};
use crate::{Error, Result};

const BATCH: u32 = 2000;

/// What verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many sealed entries are as they were sealed, before the first break.
    pub verified: i64,
    /// How many entries are appended and not sealed yet.
    pub unsealed: i64,
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
    /// A signed checkpoint has another hash for the entry: the chain was made anew.
    Checkpoint,
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
            Fault::Checkpoint => "is not the one that a signed checkpoint vouches for: the log was made anew",
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
    verify_against(store, &BTreeMap::new()).await
}

/// As [`verify`], and compares the chain with checkpoints, by place, whose signatures were checked.
///
/// # Errors
/// As [`verify`].
pub async fn verify_against(store: &Store, checkpoints: &BTreeMap<i64, Checkpoint>) -> Result<Report> {
    let mut reader = store.read().await?;
    let recorded = reader.audit_head().await?;
    let unsealed = reader.audit_unsealed_count().await?;
    let mut head = AuditHead { seq: 0, hash: String::new() };
    let report = |verified, broken| Report { verified, unsealed, head: recorded.clone(), broken };
    let mut batch = Batch::read(&mut reader, 0).await?;
    while let Some(last) = batch.last {
        let vouched: BTreeMap<i64, String> =
            checkpoints.range(head.seq + 1..=last).map(|(seq, checkpoint)| (*seq, checkpoint.hash.clone())).collect();
        // The next one is read while this one is hashed.
        let walking = tokio::task::spawn_blocking(move || batch.walk(head, &vouched));
        let (next, walked) = tokio::join!(Batch::read(&mut reader, last), walking);
        let (end, broken) = walked.map_err(|error| Error::failed("a background task").because(error))?;
        if broken.is_some() {
            return Ok(report(end.seq, broken));
        }
        (head, batch) = (end, next?);
    }
    let vouched = checkpoints.last_key_value().map_or(0, |(seq, _)| *seq);
    let broken = match &recorded {
        _ if vouched > head.seq => Some(Break { seq: head.seq + 1, id: None, fault: Fault::Cut }),
        Some(recorded) if recorded.seq > head.seq => Some(Break { seq: head.seq + 1, id: None, fault: Fault::Cut }),
        Some(recorded) if *recorded != head => Some(Break { seq: head.seq, id: None, fault: Fault::Head }),
        None if head.seq > 0 => Some(Break { seq: head.seq, id: None, fault: Fault::Head }),
        _ => None,
    };
    Ok(report(head.seq, broken))
}

/// So many entries in the chain's order, with the personal data that lie apart from them.
struct Batch {
    rows: Vec<AuditRow>,
    personal: HashMap<AuditId, Vec<AuditPersonal>>,
    /// The place of the last one that was read; none at the end of the log.
    last: Option<i64>,
    /// Whether the entry behind them is none that could be read: what no program writes.
    ends_unreadable: bool,
}

impl Batch {
    async fn read(reader: &mut Reader, after: i64) -> Result<Self> {
        let (rows, ends_unreadable) = match reader.audit_chain(after, BATCH).await {
            Ok(rows) => (rows, false),
            Err(error) => (up_to_unreadable(reader, after, error).await?, true),
        };
        let last = rows.last().map_or(ends_unreadable.then_some(after), |row| row.seq);
        let mut personal: HashMap<AuditId, Vec<AuditPersonal>> = HashMap::new();
        if let Some(last) = last {
            for datum in reader.audit_personal_between(after, last).await? {
                personal.entry(datum.entry_id).or_default().push(datum);
            }
        }
        Ok(Self { rows, personal, last, ends_unreadable })
    }

    /// How far the chain that goes on from `head` holds, and the first break; `vouched` has the hashes of checkpoints.
    fn walk(&self, mut head: AuditHead, vouched: &BTreeMap<i64, String>) -> (AuditHead, Option<Break>) {
        for row in &self.rows {
            let personal = self.personal.get(&row.id).map(Vec::as_slice).unwrap_or_default();
            if let Some(broken) = check(row, &head, personal) {
                return (head, Some(broken));
            }
            let next = AuditHead { seq: head.seq + 1, hash: row.hash.clone().unwrap_or_default() };
            if vouched.get(&next.seq).is_some_and(|hash| *hash != next.hash) {
                let broken = Break { seq: next.seq, id: Some(row.id), fault: Fault::Checkpoint };
                return (head, Some(broken));
            }
            head = next;
        }
        let broken = Break { seq: head.seq + 1, id: None, fault: Fault::Changed };
        (head, self.ends_unreadable.then_some(broken))
    }
}

/// The entries in front of the first that cannot be read; `error` where there is none such, and the database is what fails.
async fn up_to_unreadable(reader: &mut Reader, after: i64, error: Error) -> Result<Vec<AuditRow>> {
    let mut rows: Vec<AuditRow> = Vec::new();
    loop {
        let last = rows.last().and_then(|row| row.seq).unwrap_or(after);
        match reader.audit_chain(last, 1).await {
            Ok(found) if found.is_empty() => return Err(error),
            Ok(found) => rows.extend(found),
            // The database answers, so it is the entry.
            Err(_) => return reader.audit_unsealed_count().await.map(|_| rows),
        }
    }
}

fn check(row: &AuditRow, head: &AuditHead, personal: &[AuditPersonal]) -> Option<Break> {
    let seq = head.seq + 1;
    let broken = |fault| Some(Break { seq, id: Some(row.id), fault });
    if row.seq != Some(seq) {
        return Some(Break { seq, id: None, fault: Fault::Missing });
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
    let is_what_was_recorded = |datum: &AuditPersonal| {
        row.personal.get(&datum.field) == commitment(&datum.salt, &datum.field, &datum.value).ok().as_ref()
    };
    if personal.iter().all(is_what_was_recorded) { None } else { broken(Fault::Personal) }
}
