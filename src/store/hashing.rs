//! A writer that hashes what goes through it.

use std::io::Write;

use sha2::{Digest, Sha256};

/// Writes on, and hashes what was written.
pub(super) struct Hashing<W> {
    to: W,
    hash: Sha256,
}

impl<W: Write> Hashing<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, hash: Sha256::new() }
    }

    /// What was written to, and the SHA-256 of it in lower-case hexadecimal digits.
    pub(super) fn finish(self) -> (W, String) {
        (self.to, hex::encode(self.hash.finalize()))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}
