//! Secrets on their way: ciphertext for one node, bound to fleet, node, name and version, and signed.
//!
//! age says who can read a file, not who wrote it; so the envelope is signed with a key of the fleet that every node
//! knows from its bootstrap. What is signed names what the ciphertext is for, so that no envelope is taken for another.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer};
use serde::{Deserialize, Serialize};
use ssh_key::{PrivateKey, PublicKey};
use zeroize::Zeroizing;

use super::fingerprint::{KEY_LEN, SALT_LEN};
use crate::id::{FleetId, NodeId};
use crate::redact::Secret;
use crate::{Error, Result, keypair};

/// Sets this signature apart from any other that the same key might make.
const DOMAIN: &[u8] = b"stead envelope v1";
/// The longest value, in bytes: systemd refuses credentials of more than 1 MiB, encrypted.
pub const MAX_VALUE: usize = 512 << 10;
/// The longest name, in characters.
const MAX_NAME: usize = 64;

/// A secret's ciphertext with what it is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The fleet that it comes from.
    pub fleet: String,
    /// The node that it is for.
    pub node: String,
    /// The secret's name.
    pub name: String,
    /// Grows with every value that is set; a node refuses a lower one than it holds.
    pub version: u64,
    /// age ciphertext (binary format) of a [`Payload`], in base 64.
    pub ciphertext: String,
    /// The fleet's envelope-signing key's Ed25519 signature (RFC 8032), in base 64.
    pub signature: String,
}

impl Envelope {
    /// Binds ciphertext to where it goes, and signs it.
    ///
    /// # Errors
    /// Fails where the name is not one for a secret, or the key is not an Ed25519 key.
    pub fn sign(
        fleet: &FleetId,
        node: NodeId,
        name: &str,
        version: u64,
        ciphertext: &[u8],
        signer: &PrivateKey,
    ) -> Result<Self> {
        check_name(name)?;
        let mut envelope = Self {
            fleet: fleet.to_string(),
            node: node.to_string(),
            name: name.to_owned(),
            version,
            ciphertext: STANDARD.encode(ciphertext),
            signature: String::new(),
        };
        let signature = keypair::signing_key(signer)?.sign(&envelope.signed_bytes());
        envelope.signature = STANDARD.encode(signature.to_bytes());
        Ok(envelope)
    }

    /// Checks that `signer` signed exactly this envelope, and that its name is one for a secret. Whether it is for this
    /// fleet and node is for the caller to compare.
    ///
    /// # Errors
    /// Fails where the signature is not `signer`'s, or anything was changed since.
    pub fn verify(&self, signer: &PublicKey) -> Result<()> {
        let refused = || {
            Error::failed(format!("the envelope of the secret {:?} is not signed by this fleet", self.name)).hint(
                "the node knows the fleet's signing key from its bootstrap: if that key was lost, rebuild the node",
            )
        };
        let bytes = STANDARD.decode(&self.signature).map_err(|error| refused().because(error))?;
        let signature = Signature::from_slice(&bytes).map_err(|error| refused().because(error))?;
        // Strict: no second signature can be made from one that is valid.
        keypair::verifying_key(signer)?
            .verify_strict(&self.signed_bytes(), &signature)
            .map_err(|error| refused().because(error))?;
        check_name(&self.name)
    }

    /// The age ciphertext.
    ///
    /// # Errors
    /// Fails where the field is not base 64.
    pub fn ciphertext_bytes(&self) -> Result<Vec<u8>> {
        STANDARD.decode(&self.ciphertext).map_err(|error| Error::failed("the ciphertext is not base 64").because(error))
    }

    /// What is signed: every field with its length (64 bits, big-endian) before it, so that no text can move from one
    /// field into its neighbour.
    fn signed_bytes(&self) -> Vec<u8> {
        let version = self.version.to_be_bytes();
        let fields: [&[u8]; 6] = [
            DOMAIN,
            self.fleet.as_bytes(),
            self.node.as_bytes(),
            self.name.as_bytes(),
            &version,
            self.ciphertext.as_bytes(),
        ];
        let mut bytes = Vec::with_capacity(fields.iter().map(|field| 8 + field.len()).sum());
        for field in fields {
            bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
            bytes.extend_from_slice(field);
        }
        bytes
    }
}

/// What the ciphertext holds: the value, and what it takes to compute its fingerprint on the node as well.
pub struct Payload {
    /// New with every version.
    pub salt: [u8; SALT_LEN],
    /// The secret's own fingerprint key.
    pub fingerprint_key: Zeroizing<[u8; KEY_LEN]>,
    /// The value.
    pub value: Secret,
}

impl Payload {
    /// The layout's version: its first byte.
    const VERSION: u8 = 1;
    /// All that stands before the value.
    const HEADER_LEN: usize = 1 + SALT_LEN + KEY_LEN;
    /// The longest payload, in bytes.
    pub const MAX_LEN: usize = Self::HEADER_LEN + MAX_VALUE;

    /// The payload in bytes: version, salt, fingerprint key, value.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Allocated once: growing would leave copies of the value behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(Self::HEADER_LEN + self.value.expose().len()));
        bytes.push(Self::VERSION);
        bytes.extend_from_slice(&self.salt);
        bytes.extend_from_slice(&*self.fingerprint_key);
        bytes.extend_from_slice(self.value.expose());
        bytes
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// Fails where the bytes are of another layout.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let broken = || Error::failed("the envelope holds something else than a secret of this protocol");
        let (&version, rest) = bytes.split_first().ok_or_else(broken)?;
        let (salt, rest) = rest.split_first_chunk::<SALT_LEN>().ok_or_else(broken)?;
        let (key, value) = rest.split_first_chunk::<KEY_LEN>().ok_or_else(broken)?;
        if version != Self::VERSION || value.len() > MAX_VALUE {
            return Err(broken());
        }
        Ok(Self { salt: *salt, fingerprint_key: Zeroizing::new(*key), value: Secret::new(value.to_vec()) })
    }
}

/// Checks a secret's name. It becomes a file's name and a credential's, so it is 1 to 64 letters, digits, `_` and `-`,
/// and begins with a letter or `_`.
///
/// # Errors
/// Fails where the name is anything else.
pub fn check_name(name: &str) -> Result<()> {
    let legal = name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-');
    if legal {
        return Ok(());
    }
    Err(Error::input(format!("{name:?} is not a name for a secret")).hint(format!(
        "a secret's name has 1 to {MAX_NAME} letters, digits, _ and -, and begins with a letter: OPENAI_API_KEY"
    )))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signed() -> (Envelope, PrivateKey) {
        let key = keypair::generate("signer").unwrap();
        let envelope = Envelope::sign(&FleetId::mint(), NodeId::new(), "API_KEY", 7, b"ciphertext", &key).unwrap();
        (envelope, key)
    }

    #[test]
    fn every_field_is_bound() {
        let (envelope, key) = signed();
        envelope.verify(key.public_key()).unwrap();
        let tampered: [fn(&mut Envelope); 7] = [
            |e| e.fleet = FleetId::mint().to_string(),
            |e| e.node = NodeId::new().to_string(),
            |e| e.name = "API_KEX".into(),
            |e| e.version += 1,
            |e| e.ciphertext = STANDARD.encode(b"ciphertexT"),
            |e| e.signature = STANDARD.encode([0; 64]),
            // The same bytes, another border between two fields.
            |e| e.name = format!("{}{}", e.node.pop().unwrap(), e.name),
        ];
        for (case, tamper) in tampered.into_iter().enumerate() {
            let mut other = envelope.clone();
            tamper(&mut other);
            assert!(other.verify(key.public_key()).is_err(), "case {case}");
        }
        assert!(envelope.verify(keypair::generate("other").unwrap().public_key()).is_err());
    }

    #[test]
    fn names_cannot_leave_their_folder() {
        for name in ["", "..", "../x", "a/b", ".hidden", "-rf", "a b", "a\0b", "ä", &"x".repeat(65)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["OPENAI_API_KEY", "_x", "db-password", &"x".repeat(64)] {
            check_name(name).unwrap();
        }
    }

    proptest! {
        #[test]
        fn payloads_survive(value in proptest::collection::vec(any::<u8>(), 0..500), salt: [u8; SALT_LEN], key: [u8; KEY_LEN]) {
            let payload = Payload { salt, fingerprint_key: Zeroizing::new(key), value: Secret::new(value.clone()) };
            let read = Payload::decode(&payload.encode()).unwrap();
            prop_assert_eq!(read.salt, salt);
            prop_assert_eq!(*read.fingerprint_key, key);
            prop_assert_eq!(read.value.expose(), &value[..]);
        }

        #[test]
        fn garbage_is_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in ".{0,80}") {
            let _ = Payload::decode(&bytes);
            let envelope = Envelope { signature: text.clone(), ciphertext: text, ..signed().0 };
            let _ = envelope.ciphertext_bytes();
            prop_assert!(envelope.verify(keypair::generate("x").unwrap().public_key()).is_err());
        }
    }
}
