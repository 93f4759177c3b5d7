//! The side that hands over.

use std::io::Write;

use sha2::{Digest, Sha256};

use super::record::{END, Hashing, SECRET, SIGNATURE, write_bytes};
use super::{check, roots, tree};
use crate::error::Context;
use crate::node::{Paths, host_key, secrets};
use crate::wire::frame;
use crate::wire::handover::{Sum, Ticket};
use crate::{Error, Result};

/// How much goes into one frame, in bytes.
const PIECE: usize = 256 << 10;

/// Writes all that this node holds to `output`, as pieces of an encrypted stream. Little of it is in memory at a time.
///
/// # Errors
/// Fails where the ticket is not the fleet's or is for another node, and where something cannot be read or is changed meanwhile.
/// What was written by then is of no use to anybody.
pub(crate) fn send(paths: &Paths, ticket: &Ticket, output: &mut dyn Write) -> Result<Sum> {
    check(paths, ticket, &ticket.from)?;
    let key = host_key::in_use(paths)?;
    let recipient: age::x25519::Recipient = ticket.recipient.parse().map_err(|reason: &str| {
        Error::failed(format!("{:?} is none that age can encrypt to: {reason}", ticket.recipient))
    })?;
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient));
    let encryptor = encryptor.map_err(|error| Error::failed("encrypting what is handed over").because(error))?;
    let encrypted = encryptor.wrap_output(Pieces { held: Vec::with_capacity(PIECE), output })?;
    let mut stream = zstd::Encoder::new(encrypted, 1)?;

    let mut sum = Sum::default();
    let mut hashed = Hashing::new(&mut stream);
    for held in secrets::held(paths)? {
        let known = serde_json::to_vec(&(&held.name, &held.record));
        let known = known.map_err(|error| Error::failed("encoding a secret's record").because(error))?;
        hashed.write_all(&[SECRET])?;
        write_bytes(&mut hashed, &known)?;
        write_bytes(&mut hashed, held.value.expose())?;
        sum.secrets.push((held.name, held.record.version, held.record.fingerprint));
    }
    let of_secrets = hashed.hash.finalize();
    let mut hashed = Hashing::new(&mut stream);
    let written = tree::write(&roots(paths)?, &mut hashed)?;
    let of_tree = hashed.hash.finalize();
    (sum.entries, sum.bytes, sum.digest) = (written.entries, written.bytes, hex::encode(of_tree));
    stream.write_all(&[END, SIGNATURE])?;
    stream.write_all(&ticket.sign_stream(&signed(&of_secrets, &of_tree), &key)?)?;

    let mut pieces = stream.finish()?.finish()?;
    pieces.flush()?;
    pieces.output.write_all(&frame::encode_piece(&[])?)?;
    pieces.output.flush().context("sending what is handed over")?;
    Ok(sum)
}

/// What is signed of the stream.
pub(super) fn signed(secrets: &[u8], tree: &[u8]) -> Vec<u8> {
    Sha256::new().chain_update(secrets).chain_update(tree).finalize().to_vec()
}

/// Makes frames of ciphertext, which nothing could compress.
struct Pieces<'a> {
    held: Vec<u8>,
    output: &'a mut dyn Write,
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let fits = bytes.len().min(PIECE - self.held.len());
        self.held.extend_from_slice(&bytes[..fits]);
        if self.held.len() == PIECE {
            self.flush()?;
        }
        Ok(fits)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if !self.held.is_empty() {
            let framed = frame::encode_noise(&self.held).map_err(std::io::Error::other)?;
            self.output.write_all(&framed)?;
            self.held.clear();
        }
        Ok(())
    }
}
