//! Seals a value for one node: encrypted to its age recipient, bound to it, signed by the fleet.

use age::x25519::Recipient;

use super::keys::FleetKeys;
use crate::clock::Timestamp;
use crate::id::{FleetId, NodeId, SecretId, WorkspaceId};
use crate::redact::Secret;
use crate::store::{SecretRecord, SecretState};
use crate::wire::envelope::{Envelope, MAX_VALUE, Payload, check_name};
use crate::wire::fingerprint::{SALT_LEN, fingerprint, masked_tail};
use crate::{Error, Result};

/// Where a sealed value goes.
#[derive(Debug, Clone)]
pub struct Destination<'a> {
    /// The fleet that sends it.
    pub fleet: &'a FleetId,
    /// The workspace that it belongs to; it outlives the node, and so does the fingerprint key made of it.
    pub workspace: WorkspaceId,
    /// The node that may open it.
    pub node: NodeId,
    /// The node's age recipient (`age1…`).
    pub recipient: &'a str,
    /// The secret's name.
    pub name: &'a str,
    /// Higher than every version that this node was given under this name.
    pub version: u64,
}

/// A sealed value, and what may be shown of it.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// What goes to the node; it holds no value that anyone but the node can read.
    pub envelope: Envelope,
    /// The keyed, salted fingerprint; the node answers with the same.
    pub fingerprint: String,
    /// The last four characters of a long value.
    pub masked_tail: Option<String>,
    /// The fingerprint's salt.
    pub salt: [u8; SALT_LEN],
}

impl Sealed {
    /// The record of a value that waits for its node. `before` is that of the value before, which the node holds until it
    /// acknowledges this one.
    pub fn record(&self, destination: &Destination<'_>, before: Option<SecretRecord>, now: Timestamp) -> SecretRecord {
        SecretRecord {
            id: before.as_ref().map_or_else(SecretId::new, |before| before.id),
            workspace_id: destination.workspace,
            name: destination.name.to_owned(),
            version: destination.version,
            fingerprint: self.fingerprint.clone(),
            masked_tail: self.masked_tail.clone(),
            salt: hex::encode(self.salt),
            state: SecretState::Vault,
            node_id: before.as_ref().filter(|before| before.lost_at.is_none()).and_then(|before| before.node_id),
            delivered_at: None,
            created_at: before.map_or(now, |before| before.created_at),
            updated_at: now,
            lost_at: None,
        }
    }
}

/// Seals a value.
///
/// # Errors
/// Fails where the value is empty or longer than [`MAX_VALUE`], the name is not one for a secret, or the recipient is
/// none of age's.
pub fn seal(value: &Secret, destination: &Destination<'_>, keys: &FleetKeys) -> Result<Sealed> {
    check_name(destination.name)?;
    let length = value.expose().len();
    if length == 0 || length > MAX_VALUE {
        return Err(Error::input(format!("the value of {} has {length} bytes", destination.name))
            .hint(format!("give a value of 1 to {MAX_VALUE} bytes on stdin")));
    }
    let recipient: Recipient = destination.recipient.parse().map_err(|reason: &str| {
        Error::failed(format!(
            "the node's recipient {:?} is none that age can encrypt to: {reason}",
            destination.recipient
        ))
    })?;
    let mut salt = [0; SALT_LEN];
    getrandom::fill(&mut salt).map_err(|error| Error::failed(format!("no randomness: {error}")))?;
    let fingerprint_key = keys.fingerprint_key(destination.workspace, destination.name);
    let fingerprint = fingerprint(&fingerprint_key, &salt, value.expose());
    let payload = Payload { salt, fingerprint_key, value: Secret::new(value.expose().to_vec()) };
    let ciphertext = age::encrypt(&recipient, &payload.encode())
        .map_err(|error| Error::failed(format!("encrypting {} for its node", destination.name)).because(error))?;
    let envelope = Envelope::sign(
        destination.fleet,
        destination.node,
        destination.name,
        destination.version,
        &ciphertext,
        keys.signer(),
    )?;
    Ok(Sealed { envelope, fingerprint, masked_tail: masked_tail(value.expose()), salt })
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    #[test]
    fn the_node_opens_it_and_finds_the_same_fingerprint() {
        let guard = tempfile::tempdir().unwrap();
        let keys = FleetKeys::open_or_create(&Utf8PathBuf::from_path_buf(guard.path().join("k")).unwrap()).unwrap();
        let identity = age::x25519::Identity::generate();
        let (fleet, recipient) = (FleetId::mint(), identity.to_public().to_string());
        let destination = Destination {
            fleet: &fleet,
            workspace: WorkspaceId::new(),
            node: NodeId::new(),
            recipient: &recipient,
            name: "API_KEY",
            version: 1,
        };
        let value = Secret::new(b"a value of some length".to_vec());
        let sealed = seal(&value, &destination, &keys).unwrap();
        sealed.envelope.verify(keys.signer().public_key()).unwrap();
        let plain = age::decrypt(&identity, &sealed.envelope.ciphertext_bytes().unwrap()).unwrap();
        let payload = Payload::decode(&plain).unwrap();
        assert_eq!(payload.value.expose(), value.expose());
        assert_eq!(fingerprint(&payload.fingerprint_key, &payload.salt, payload.value.expose()), sealed.fingerprint);
        assert_eq!(sealed.masked_tail.as_deref(), Some("ngth"));

        let again = seal(&value, &destination, &keys).unwrap();
        assert_ne!(again.fingerprint, sealed.fingerprint, "equal values are not seen as equal");
        assert!(seal(&Secret::new(Vec::new()), &destination, &keys).is_err());
        assert!(seal(&value, &Destination { recipient: "age1nonsense", ..destination }, &keys).is_err());
    }
}
