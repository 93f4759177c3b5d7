//! Random words that stand for somebody: tokens, cookies, links. Shown once, kept as hashes.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{Error, Result};

/// A random word with its hash.
pub struct Minted {
    /// The word, for whoever asked.
    pub word: Zeroizing<String>,
    /// Its SHA-256 in hexadecimal, for the store. The word is random and long, so a plain hash hides it.
    pub hash: String,
}

impl Minted {
    /// 256 random bits behind a prefix.
    ///
    /// # Errors
    /// Fails where the system gives no randomness.
    pub fn new(prefix: &str) -> Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes)
            .map_err(|error| Error::failed(format!("the system gives no randomness: {error}")))?;
        let word = Zeroizing::new(format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(*bytes)));
        let hash = hash(word.as_bytes());
        Ok(Self { word, hash })
    }
}

/// The hash by which a word is found.
pub(super) fn hash(word: &[u8]) -> String {
    hex::encode(Sha256::digest(word))
}
