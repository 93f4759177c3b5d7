//! Ed25519 key pairs in OpenSSH's formats: for SSH, for host keys, and for signing envelopes.

use camino::Utf8Path;
use ed25519_dalek::{SigningKey, VerifyingKey};
use ssh_key::private::Ed25519Keypair;
use ssh_key::{HashAlg, LineEnding};
use zeroize::Zeroizing;

pub use ssh_key::{PrivateKey, PublicKey};

use crate::error::Context;
use crate::{Error, Result, atomic_file};

/// Makes a new Ed25519 key pair.
///
/// # Errors
/// Fails where the system gives no randomness.
pub fn generate(comment: &str) -> Result<PrivateKey> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(|error| Error::failed(format!("no randomness: {error}")))?;
    let mut key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
    key.set_comment(comment);
    Ok(key)
}

/// The private key as the text of an OpenSSH private key file, not encrypted.
///
/// # Errors
/// Fails where the key cannot be encoded.
pub fn to_text(key: &PrivateKey) -> Result<Zeroizing<String>> {
    key.to_openssh(LineEnding::LF).map_err(|error| Error::failed("encoding a private key").because(error))
}

/// Reads an OpenSSH private key file; `None` where there is no such file.
///
/// # Errors
/// Fails where the file cannot be read, holds something else, or is encrypted with a passphrase.
pub fn read(path: &Utf8Path) -> Result<Option<PrivateKey>> {
    let Some(text) = atomic_file::read(path)?.map(Zeroizing::new) else { return Ok(None) };
    let key = PrivateKey::from_openssh(&text[..]).map_err(|error| {
        Error::input(format!("{path} is not an OpenSSH private key"))
            .because(error)
            .hint("`ssh-keygen -t ed25519 -f FILE` makes one; older formats are converted by `ssh-keygen -p -f FILE`")
    })?;
    if key.is_encrypted() {
        return Err(Error::input(format!("{path} is protected by a passphrase"))
            .hint("give the key without a passphrase, in a file that only you can read (`ssh-keygen -p -f FILE`)"));
    }
    Ok(Some(key))
}

/// Reads an OpenSSH private key file, or makes it (0600) where there is none. Of several processes at once all get the
/// same key.
///
/// # Errors
/// As [`read`], and where the file cannot be written.
pub fn read_or_create(path: &Utf8Path, comment: &str) -> Result<PrivateKey> {
    if let Some(key) = read(path)? {
        return Ok(key);
    }
    let key = generate(comment)?;
    if atomic_file::create(path, to_text(&key)?.as_bytes(), 0o600)? {
        return Ok(key);
    }
    read(path)?.ok_or_else(|| Error::failed(format!("{path} was removed while it was read")))
}

/// Writes an OpenSSH private key file (0600), over one that is there.
///
/// # Errors
/// Fails as the file system does.
pub fn write(path: &Utf8Path, key: &PrivateKey) -> Result<()> {
    atomic_file::write(path, to_text(key)?.as_bytes(), 0o600)
}

/// Reads a public key from one line in OpenSSH's format (`ssh-ed25519 AAAA… comment`).
///
/// # Errors
/// Fails where the text is something else.
pub fn parse_public(text: &str) -> Result<PublicKey> {
    PublicKey::from_openssh(text.trim()).map_err(|error| {
        Error::input(format!("{:?} is not a public key", crop(text.trim(), 40)))
            .because(error)
            .hint("a public key is one line like `ssh-ed25519 AAAA…`, as in a .pub file")
    })
}

/// The public key on one line in OpenSSH's format.
///
/// # Errors
/// Fails where the key cannot be encoded.
pub fn public_text(key: &PublicKey) -> Result<String> {
    key.to_openssh().map_err(|error| Error::failed("encoding a public key").because(error))
}

/// OpenSSH's fingerprint of a public key (`SHA256:…`), as `ssh-keygen -l` prints it.
pub fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// The Ed25519 key that signs.
///
/// # Errors
/// Fails where the key pair is of another kind.
pub fn signing_key(key: &PrivateKey) -> Result<SigningKey> {
    let pair = key.key_data().ed25519().ok_or_else(|| not_ed25519(&key.algorithm()))?;
    Ok(SigningKey::from_bytes(&Zeroizing::new(pair.private.to_bytes())))
}

/// The Ed25519 key that verifies.
///
/// # Errors
/// Fails where the key is of another kind, or no point of the curve.
pub fn verifying_key(key: &PublicKey) -> Result<VerifyingKey> {
    let public = key.key_data().ed25519().ok_or_else(|| not_ed25519(&key.algorithm()))?;
    VerifyingKey::from_bytes(&public.0)
        .map_err(|error| Error::input("the public key is not a point of Ed25519's curve").because(error))
}

fn not_ed25519(algorithm: &ssh_key::Algorithm) -> Error {
    Error::input(format!("the key is of the kind {algorithm}, where an Ed25519 key is needed"))
        .hint("`ssh-keygen -t ed25519` makes one")
}

fn crop(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// Reads a private key file that has to be there.
///
/// # Errors
/// As [`read`], and where there is no such file.
pub fn read_existing(path: &Utf8Path) -> Result<PrivateKey> {
    read(path)
        .with_context(|| format!("reading the key {path}"))?
        .ok_or_else(|| Error::input(format!("there is no key file {path}")))
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn made_once_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().join("key")).unwrap();
        let made = read_or_create(&path, "fleet").unwrap();
        let again = read_or_create(&path, "fleet").unwrap();
        assert_eq!(made.public_key(), again.public_key());
        let public = public_text(made.public_key()).unwrap();
        assert!(public.starts_with("ssh-ed25519 ") && public.ends_with(" fleet"), "{public}");
        assert_eq!(parse_public(&format!("{public}\n")).unwrap().key_data(), made.public_key().key_data());
        assert!(fingerprint(made.public_key()).starts_with("SHA256:"));
    }

    #[test]
    fn signs_for_its_public_half() {
        use ed25519_dalek::Signer;
        let key = generate("x").unwrap();
        let signature = signing_key(&key).unwrap().sign(b"message");
        verifying_key(key.public_key()).unwrap().verify_strict(b"message", &signature).unwrap();
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_never_a_panic(text in ".{0,200}") {
            prop_assert!(parse_public(&text).is_err());
        }
    }
}
