//! Checkpoints: the chain's end, signed, in a file outside the database.
//!
//! Whoever can write to the database can make the whole chain anew, or cut its tail together with the recorded end. A checkpoint
//! that lies elsewhere shows both: the chain must have that hash at that place. Copy the file to where the database's
//! administrators cannot write.

use std::collections::BTreeMap;
use std::io::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use camino::{Utf8Path, Utf8PathBuf};
use ed25519_dalek::{Signature, Signer};
use serde::{Deserialize, Serialize};
use ssh_key::PublicKey;

use crate::clock::Timestamp;
use crate::error::Context;
use crate::id::FleetId;
use crate::keypair::{self, PrivateKey};
use crate::store::Store;
use crate::{Error, Result, atomic_file, ownership};

/// Sets this signature apart from any other that the same key might make.
const DOMAIN: &str = "stead audit checkpoint v1";

/// The chain's end at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The fleet.
    pub fleet: FleetId,
    /// The last entry's place in the chain.
    pub seq: i64,
    /// Its hash, in hexadecimal.
    pub hash: String,
    /// When the checkpoint was made.
    pub at: Timestamp,
    /// The Ed25519 signature (RFC 8032), in base 64.
    signature: String,
}

impl Checkpoint {
    fn signed_bytes(&self) -> Vec<u8> {
        // None of the parts holds a line end: they cannot run into one another.
        let Self { fleet, seq, hash, at, .. } = self;
        format!("{DOMAIN}\n{fleet}\n{seq}\n{hash}\n{}\n", at.to_rfc3339()).into_bytes()
    }

    fn is_signed_by(&self, signer: &PublicKey) -> Result<bool> {
        let Ok(bytes) = BASE64_STANDARD.decode(&self.signature) else { return Ok(false) };
        let Ok(signature) = Signature::from_slice(&bytes) else { return Ok(false) };
        Ok(keypair::verifying_key(signer)?.verify_strict(&self.signed_bytes(), &signature).is_ok())
    }
}

/// A file of checkpoints, one JSON object a line, and the key that signs them.
pub struct Checkpoints {
    file: Utf8PathBuf,
    key: PrivateKey,
}

impl Checkpoints {
    /// Those in `file`, signed by `key`.
    pub fn new(file: Utf8PathBuf, key: PrivateKey) -> Self {
        Self { file, key }
    }

    /// Appends the chain's end, where it is another than the last one that is written there.
    ///
    /// # Errors
    /// Fails where the store cannot be read, or the file not be written.
    pub async fn note(&self, store: &Store) -> Result<()> {
        let mut reader = store.read().await?;
        let (Some(head), Some(fleet)) = (reader.audit_head().await?, reader.fleet().await?) else { return Ok(()) };
        let at = reader.now();
        if let Some(last) = lines(&self.file)?.into_iter().max_by_key(|line| line.seq) {
            // Nothing is vouched for that does not go on from what was vouched for.
            if reader.audit_hash_at(last.seq).await?.as_ref() != Some(&last.hash) {
                return Err(self.parted(&last));
            }
            if last.seq == head.seq {
                return Ok(());
            }
        }
        drop(reader);
        let mut checkpoint = Checkpoint { fleet, seq: head.seq, hash: head.hash, at, signature: String::new() };
        let signature = keypair::signing_key(&self.key)?.sign(&checkpoint.signed_bytes());
        checkpoint.signature = BASE64_STANDARD.encode(signature.to_bytes());
        let line = serde_json::to_string(&checkpoint).map_err(|error| Error::failed("a checkpoint").because(error))?;
        let context = || format!("writing a checkpoint of the audit log to {}", self.file);
        let mut file = std::fs::File::options().create(true).append(true).open(&self.file).with_context(context)?;
        // A line that was cut short, as by a full disk, must not swallow this one.
        file.write_all(format!("\n{line}\n").as_bytes()).with_context(context)?;
        file.sync_data().with_context(context)?;
        ownership::inherit(&self.file)
    }
}

impl Checkpoints {
    fn parted(&self, last: &Checkpoint) -> Error {
        Error::failed(format!("the audit log has not the entry {} that {} vouches for", last.seq, self.file))
            .hint("`stead audit verify` says where it breaks: somebody has cut it short or made it anew")
            .hint("after a restore from a backup that is older, move that file aside, and keep it")
    }
}

/// The checkpoints in a file, by place. One that is not signed by `signer`, or is another fleet's, is an error: somebody has
/// written it there.
///
/// # Errors
/// Fails where the file cannot be read, and where a checkpoint is not this fleet's.
pub fn read(file: &Utf8Path, fleet: &FleetId, signer: &PublicKey) -> Result<BTreeMap<i64, Checkpoint>> {
    let mut found = BTreeMap::new();
    for checkpoint in lines(file)? {
        if checkpoint.fleet != *fleet || !checkpoint.is_signed_by(signer)? {
            return Err(Error::failed(format!(
                "{file}: the checkpoint of entry {} is not signed by this fleet",
                checkpoint.seq
            ))
            .hint("somebody has written it there, or the key `audit_signer` is another: compare with a copy"));
        }
        let (seq, hash) = (checkpoint.seq, checkpoint.hash.clone());
        if found.insert(seq, checkpoint).is_some_and(|other| other.hash != hash) {
            return Err(Error::failed(format!("{file}: two checkpoints vouch for different entries {seq}"))
                .hint("the log was made anew between them: compare it with a backup from before"));
        }
    }
    Ok(found)
}

/// The whole lines of a file.
fn lines(file: &Utf8Path) -> Result<Vec<Checkpoint>> {
    let text = atomic_file::read(file)?.unwrap_or_default();
    let lines = text.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
}
