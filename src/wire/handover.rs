//! What one node hands over to the one that takes its place: data and secrets, as one encrypted stream.
//!
//! The fleet signs a [`Ticket`] that names both nodes, the recipient of the one that takes over, and the host key of the one that
//! hands over. That one encrypts the stream to the recipient (age) and signs what is in it, bound to the ticket, with its host key.
//! So nobody on the way can read it, and it is good for that node and that rebuild alone. Inside:
//!
//! ```text
//! secrets, then entries in the order of their paths, each file's content in blocks, then the end, then the signature
//! ```

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer};
use serde::{Deserialize, Serialize};
use ssh_key::{PrivateKey, PublicKey};

use crate::{Error, Result, keypair};

/// Set these signatures apart from any other that the same keys might make.
const TICKET: &[u8] = b"stead handover ticket v1";
const STREAM: &[u8] = b"stead handover stream v1";

/// What is to be handed over, by whom, to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The fleet of both nodes.
    pub fleet: String,
    /// The node that hands over.
    pub from: String,
    /// Its SSH host key, in OpenSSH's format: what it signs with.
    pub from_key: String,
    /// The node that takes over.
    pub to: String,
    /// Its age recipient.
    pub recipient: String,
    /// The workflow in whose course this is done.
    pub workflow: String,
    /// The fleet's envelope-signing key's Ed25519 signature (RFC 8032), in base 64.
    pub signature: String,
}

/// What was handed over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// SHA-256 of all entries and their content, in hexadecimal; the same for the same tree on any file system.
    pub digest: String,
    /// Files, folders and whatever else.
    pub entries: u64,
    /// The files' content, in bytes, without what is zeros.
    pub bytes: u64,
    /// The secrets' names, each with its version and its value's fingerprint.
    pub secrets: Vec<(String, u64, String)>,
}

impl Ticket {
    /// Signs the ticket.
    ///
    /// # Errors
    /// Fails where the key is not an Ed25519 key.
    pub fn sign(mut self, signer: &PrivateKey) -> Result<Self> {
        self.signature = STANDARD.encode(keypair::signing_key(signer)?.sign(&self.signed_bytes()).to_bytes());
        Ok(self)
    }

    /// Checks that `signer` signed exactly this ticket.
    ///
    /// # Errors
    /// Fails where the signature is not `signer`'s, or anything was changed since.
    pub fn verify(&self, signer: &PublicKey) -> Result<()> {
        let refused = || Error::failed("the handover's ticket is not signed by this fleet");
        let signature = STANDARD.decode(&self.signature).map_err(|error| refused().because(error))?;
        verify(signer, &self.signed_bytes(), &signature).map_err(|error| refused().because(error))
    }

    /// Signs what is in the stream: `digest` is of all that stands before the signature.
    ///
    /// # Errors
    /// Fails where the key is not an Ed25519 key.
    pub fn sign_stream(&self, digest: &[u8], key: &PrivateKey) -> Result<[u8; 64]> {
        Ok(keypair::signing_key(key)?.sign(&self.stream_bytes(digest)).to_bytes())
    }

    /// Checks that the node that hands over signed exactly this stream, for this ticket.
    ///
    /// # Errors
    /// Fails where it did not.
    pub fn verify_stream(&self, digest: &[u8], signature: &[u8]) -> Result<()> {
        let key = keypair::parse_public(&self.from_key)?;
        verify(&key, &self.stream_bytes(digest), signature)
            .map_err(|error| Error::failed(format!("what came was not signed by {}", self.from)).because(error))
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let fields = [&self.fleet, &self.from, &self.from_key, &self.to, &self.recipient, &self.workflow];
        fields.into_iter().fold(lengthened(TICKET), |mut bytes, field| {
            bytes.extend(lengthened(field.as_bytes()));
            bytes
        })
    }

    fn stream_bytes(&self, digest: &[u8]) -> Vec<u8> {
        [lengthened(STREAM), lengthened(&self.signed_bytes()), lengthened(digest)].concat()
    }
}

/// A field with its length (64 bits, big-endian) before it, so that no text can move from one field into its neighbour.
fn lengthened(field: &[u8]) -> Vec<u8> {
    [&(field.len() as u64).to_be_bytes()[..], field].concat()
}

fn verify(key: &PublicKey, bytes: &[u8], signature: &[u8]) -> Result<()> {
    let signature = Signature::from_slice(signature).map_err(|error| Error::failed("no signature").because(error))?;
    // Strict: no second signature can be made from one that is valid.
    let verified = keypair::verifying_key(key)?.verify_strict(bytes, &signature);
    verified.map_err(|error| Error::failed("the signature is not that key's").because(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_for_what_it_says_and_a_stream_for_its_ticket() {
        let (fleet, old) = (keypair::generate("fleet").unwrap(), keypair::generate("old").unwrap());
        let ticket = Ticket {
            fleet: "fl".into(),
            from: "nd_1".into(),
            from_key: keypair::public_text(old.public_key()).unwrap(),
            to: "nd_2".into(),
            recipient: "age1".into(),
            workflow: "wf".into(),
            signature: String::new(),
        };
        let ticket = ticket.sign(&fleet).unwrap();
        ticket.verify(fleet.public_key()).unwrap();
        assert!(ticket.verify(old.public_key()).is_err());
        let signature = ticket.sign_stream(b"digest", &old).unwrap();
        ticket.verify_stream(b"digest", &signature).unwrap();
        assert!(ticket.verify_stream(b"other", &signature).is_err());
        assert!(ticket.verify_stream(b"digest", &ticket.sign_stream(b"digest", &fleet).unwrap()).is_err());
        for changed in [
            Ticket { to: "nd_3".into(), ..ticket.clone() },
            Ticket { recipient: "age2".into(), ..ticket.clone() },
            Ticket { workflow: "wg".into(), ..ticket.clone() },
            Ticket { from: "nd_".into(), from_key: format!("1{}", ticket.from_key), ..ticket.clone() },
        ] {
            assert!(changed.verify(fleet.public_key()).is_err());
            assert!(changed.verify_stream(b"digest", &signature).is_err());
        }
    }
}
