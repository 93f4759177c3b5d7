//! The sealer, and what else is done with the log as a whole.

use super::Entry;
use super::entry::hash;
use crate::Result;
use crate::store::{AuditHead, AuditPlace, AuditRow, Store, Turn, Tx};

/// How many entries one transaction seals.
const BATCH: u32 = 500;

/// Gives all unsealed entries their place in the chain; how many there were.
///
/// Order and place are given here rather than on appending, since transactions that run side by side commit in another
/// order than they begin. One transaction seals at a time.
///
/// # Errors
/// Fails where the store does.
pub async fn seal(store: &Store) -> Result<u64> {
    let mut sealed = 0;
    // Most calls find nothing to do, and then need no write.
    while is_unsealed(store).await? {
        sealed += store.write(|tx| Box::pin(batch(tx))).await?;
    }
    Ok(sealed)
}

/// Whether entries wait to be sealed.
///
/// # Errors
/// Fails where the store does.
pub async fn is_unsealed(store: &Store) -> Result<bool> {
    Ok(!store.read().await?.audit_unsealed(1).await?.is_empty())
}

async fn batch(tx: &mut Tx) -> Result<u64> {
    tx.take_turn(Turn::AuditChain).await?;
    let mut head = tx.audit_head().await?.unwrap_or(AuditHead { seq: 0, hash: String::new() });
    let rows = tx.audit_unsealed(BATCH).await?;
    let mut places = Vec::with_capacity(rows.len());
    for row in &rows {
        let next = AuditHead { seq: head.seq + 1, hash: hash(row, head.seq + 1, &head.hash)? };
        let AuditHead { seq, hash } = next.clone();
        let prev_hash = std::mem::replace(&mut head, next).hash;
        places.push(AuditPlace { position: row.position, seq, prev_hash, hash });
    }
    tx.seal_audit(&places).await?;
    tx.set_audit_head(&head).await?;
    Ok(rows.len() as u64)
}

/// The last `limit` entries, oldest first; of one target where `target` is given.
///
/// # Errors
/// Fails where the store does.
pub async fn list(store: &Store, target: Option<&str>, limit: u32) -> Result<Vec<AuditRow>> {
    store.read().await?.audit_tail(target, limit).await
}

/// Erases a person's data from the log, and appends that it was done; how many data there were. The chain stays whole:
/// it holds commitments, whose salts are gone now.
///
/// # Errors
/// Fails where the store does.
pub async fn erase(store: &Store, actor: &str, subject: &str) -> Result<u64> {
    let (actor, subject) = (actor.to_owned(), subject.to_owned());
    let erased = store.write(move |tx| {
        Box::pin(async move {
            let erased = tx.erase_audit_personal(&subject).await?;
            Entry::new(actor, "audit.erase", subject).detail("erased", erased).append(tx).await?;
            Ok(erased)
        })
    });
    erased.await
}
