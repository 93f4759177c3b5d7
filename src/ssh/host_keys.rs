//! The host keys that a node may prove.

use crate::keypair::{self, PublicKey};
use crate::{Error, Result};

/// One or more accepted host keys. There is no value that accepts any key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKeys(Vec<PublicKey>);

impl HostKeys {
    /// Accepts one key.
    pub fn one(key: PublicKey) -> Self {
        Self(vec![key])
    }

    /// Accepts these keys, each one line in OpenSSH's format.
    ///
    /// # Errors
    /// Fails where there is none, or where one of them is no public key.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let keys: Vec<_> = lines.into_iter().map(keypair::parse_public).collect::<Result<_>>()?;
        if keys.is_empty() {
            return Err(Error::failed("the node's SSH host key is not known")
                .hint("compare its fingerprint by another way (the provider's console), and pin it as the workspace's `host_key`"));
        }
        Ok(Self(keys))
    }

    /// Accepts one more key.
    pub fn push(&mut self, key: PublicKey) {
        if !self.contains(&key) {
            self.0.push(key);
        }
    }

    /// Whether the key is among them; comments do not count.
    pub fn contains(&self, key: &PublicKey) -> bool {
        self.0.iter().any(|accepted| accepted.key_data() == key.key_data())
    }

    /// The keys.
    pub fn iter(&self) -> impl Iterator<Item = &PublicKey> {
        self.0.iter()
    }

    /// The keys' fingerprints (`SHA256:…`).
    pub fn fingerprints(&self) -> Vec<String> {
        self.0.iter().map(keypair::fingerprint).collect()
    }
}
