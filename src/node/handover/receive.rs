//! The side that takes over.

use std::io::Read;
use std::path::Path;

use camino::Utf8PathBuf;
use sha2::{Digest, Sha256};

use super::record::{
    BLOCK, BLOCK_LEN, END, ENTRY, Entry, Hashing, SECRET, SIGNATURE, broken, read_array, read_bytes, read_secret,
    write_bytes,
};
use super::send::signed;
use super::unpack::{self, Unpack};
use super::{ASIDE, Root, check, roots, tree};
use crate::error::Context;
use crate::node::secrets::{self, Held, SecretRecord};
use crate::node::{Paths, files, identity};
use crate::redact::Secret;
use crate::wire::envelope::{MAX_VALUE, check_name};
use crate::wire::frame;
use crate::wire::handover::{Sum, Ticket};
use crate::{Error, Result};

/// The most secrets that a node takes.
const MOST_SECRETS: usize = 256;
/// The longest record of a secret, in bytes.
const MAX_KNOWN: usize = 4 << 10;

/// Takes what another node hands over from `input`, and puts it in place once all of it was checked: the signature, and that what
/// lies on this disk now gives the same records again. May be repeated; what came before is replaced.
///
/// # Errors
/// Fails where the ticket is not the fleet's or is for another node, where the stream is not for this node or not signed for this
/// ticket, and where something cannot be written. Then nothing of it is put in place.
pub(crate) fn receive(paths: &Paths, ticket: &Ticket, input: &mut dyn Read) -> Result<Sum> {
    check(paths, ticket, &ticket.to)?;
    let roots = roots(paths)?;
    let aside: Vec<Utf8PathBuf> = roots.iter().map(|root| root.path.join(ASIDE)).collect();
    for (root, aside) in roots.iter().zip(&aside) {
        if !root.path.is_dir() {
            files::make_folder(&root.path, if root.path.ends_with("private") { 0o700 } else { 0o755 })?;
        }
        remove(aside.as_std_path())?;
        files::make_folder(aside, 0o700)?;
    }
    let (sum, secrets) = unpack(paths, ticket, &aside, input)?;
    for aside in &aside {
        unpack::sync(aside.as_std_path()).with_context(|| format!("writing {aside} to the disk"))?;
    }
    check_written(&aside, &sum)?;
    for (root, aside) in roots.iter().zip(&aside) {
        put_in_place(root, aside)?;
    }
    for held in secrets {
        secrets::store(paths, &held)?;
    }
    Ok(sum)
}

/// Writes what comes below `aside`; gives what it was, once all of it is known to be what the other node has signed.
fn unpack(paths: &Paths, ticket: &Ticket, aside: &[Utf8PathBuf], input: &mut dyn Read) -> Result<(Sum, Vec<Held>)> {
    let identities = identity::read(paths)?;
    let mut pieces = Pieces { input, piece: Vec::new(), at: 0, ended: false };
    let failed = |error: age::DecryptError| {
        Error::failed("what is handed over cannot be opened here").because(error).hint("it is for another node")
    };
    let plain = age::Decryptor::new(&mut pieces).map_err(failed)?;
    let plain = plain.decrypt(identities.iter().map(|identity| identity as &dyn age::Identity)).map_err(failed)?;
    let mut stream = zstd::Decoder::new(plain)?;
    let from: &mut dyn Read = &mut stream;

    let (mut sum, mut secrets) = (Sum::default(), Vec::new());
    let mut of_secrets = Hashing::new(std::io::sink());
    let mut of_tree = Hashing::new(std::io::sink());
    let mut unpack = Unpack::new(aside.iter().map(|top| top.as_std_path().to_owned()).collect());
    loop {
        match read_array::<1>(from)?[0] {
            SECRET if secrets.len() < MOST_SECRETS => {
                let (known, value) = (read_bytes(from, MAX_KNOWN)?, read_secret(from, MAX_VALUE)?);
                std::io::Write::write_all(&mut of_secrets, &[SECRET])?;
                write_bytes(&mut of_secrets, &known)?;
                write_bytes(&mut of_secrets, &value)?;
                let known =
                    serde_json::from_slice(&known).map_err(|error| broken("a secret's record").because(error))?;
                let (name, record): (String, SecretRecord) = known;
                check_name(&name)?;
                sum.secrets.push((name.clone(), record.version, record.fingerprint.clone()));
                secrets.push(Held { name, record, value: Secret::new(value.to_vec()) });
            }
            ENTRY => {
                let entry = Entry::read(from)?;
                entry.write(&mut of_tree)?;
                unpack.entry(entry)?;
            }
            BLOCK => {
                let at = u64::from_be_bytes(read_array(from)?);
                let content = read_bytes(from, BLOCK_LEN)?;
                std::io::Write::write_all(&mut of_tree, &[BLOCK])?;
                std::io::Write::write_all(&mut of_tree, &at.to_be_bytes())?;
                write_bytes(&mut of_tree, &content)?;
                unpack.block(at, &content)?;
            }
            END => break,
            _ => return Err(broken("a record of an unknown kind")),
        }
    }
    unpack.end()?;
    if read_array::<1>(from)?[0] != SIGNATURE {
        return Err(broken("there is no signature"));
    }
    let signature: [u8; 64] = read_array(from)?;
    let of_tree = of_tree.hash.finalize();
    ticket.verify_stream(&signed(&of_secrets.hash.finalize(), &of_tree), &signature)?;
    // To its end: only that tells that nothing was cut off.
    if std::io::copy(from, &mut std::io::sink())? != 0 {
        return Err(broken("something comes after the signature"));
    }
    drop(stream);
    std::io::copy(&mut pieces, &mut std::io::sink())?;
    (sum.entries, sum.bytes, sum.digest) = (unpack.entries, unpack.bytes, hex::encode(of_tree));
    Ok((sum, secrets))
}

/// Reads all of it back.
fn check_written(aside: &[Utf8PathBuf], sum: &Sum) -> Result<()> {
    let mut hash = Sha256::new();
    let roots: Vec<Root> = aside.iter().map(|path| Root { path: path.clone(), without: Vec::new() }).collect();
    let written = tree::write(&roots, &mut hash)?;
    if (written.entries, hex::encode(hash.finalize())) == (sum.entries, sum.digest.clone()) {
        return Ok(());
    }
    Err(Error::failed(format!(
        "what was written is not what came: {} of {} entries, or their content or attributes, differ",
        written.entries, sum.entries
    ))
    .hint("this node's file system may not hold all that the other one's does: extended attributes, owners, names"))
}

/// Moves what lies aside to where it belongs. What is there under the same name was there before anything ran here.
fn put_in_place(root: &Root, aside: &Utf8PathBuf) -> Result<()> {
    for entry in std::fs::read_dir(aside)? {
        let entry = entry?;
        let place = root.path.as_std_path().join(entry.file_name());
        remove(&place)?;
        std::fs::rename(entry.path(), &place).with_context(|| format!("putting {} in place", place.display()))?;
    }
    remove(aside.as_std_path())?;
    unpack::sync(root.path.as_std_path()).with_context(|| format!("writing {} to the disk", root.path))
}

fn remove(path: &Path) -> Result<()> {
    let removing = || format!("removing {}", path.display());
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(removing),
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path).with_context(removing),
        Ok(_) => std::fs::remove_file(path).with_context(removing),
    }
}

/// Reads the content of frames, up to the piece of nothing.
struct Pieces<'a> {
    input: &'a mut dyn Read,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Read for Pieces<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.piece.len() && !self.ended {
            self.piece = frame::read_piece(self.input).map_err(std::io::Error::other)?;
            (self.at, self.ended) = (0, self.piece.is_empty());
        }
        let length = bytes.len().min(self.piece.len() - self.at);
        bytes[..length].copy_from_slice(&self.piece[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}
