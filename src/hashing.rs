//! A reader or writer that hashes what goes through it.

use std::io::{Read, Write};

use sha2::{Digest, Sha256};

/// Passes on what is read from or written to it, and hashes that.
#[derive(Debug)]
pub struct Hashing<T> {
    inner: T,
    hash: Sha256,
}

impl<T> Hashing<T> {
    /// Hashes what goes through `inner` from now on.
    pub fn new(inner: T) -> Self {
        Self { inner, hash: Sha256::new() }
    }

    /// What it went through, and its SHA-256 in lower-case hexadecimal digits.
    pub fn finish(self) -> (T, String) {
        (self.inner, hex::encode(self.hash.finalize()))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hash.update(&buffer[..length]);
        Ok(length)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}
