//! The API's token: only its hash is kept.

use hmac::digest::CtOutput;
use sha2::{Digest, Sha256};

/// The SHA-256 of a token. A token is random and long, so a plain hash hides it.
#[derive(Clone)]
pub struct TokenHash(CtOutput<Sha256>);

impl TokenHash {
    /// The hash of a token.
    pub fn of(token: &[u8]) -> Self {
        Self(CtOutput::new(Sha256::digest(token)))
    }

    /// The hash that was kept.
    pub fn from_bytes(hash: [u8; 32]) -> Self {
        Self(CtOutput::new(hash.into()))
    }

    /// Whether this is the token; takes as long for a wrong one as for the right one.
    pub fn matches(&self, token: &[u8]) -> bool {
        self.0 == Self::of(token).0
    }
}
