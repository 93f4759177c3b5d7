//! The signature under an image's record: over a small text that names every artefact's digest, as `ssh-keygen -Y sign`
//! makes it, so that whoever has OpenSSH can judge it:
//!
//! ```text
//! ssh-keygen -Y verify -f allowed_signers -I stead -n stead-image -s SHA256SUMS.sig < SHA256SUMS && sha256sum -c SHA256SUMS
//! ```

use std::collections::BTreeMap;
use std::fmt::Write;

use ssh_key::{HashAlg, LineEnding, SshSig};

use super::Artefact;
use crate::keypair::{self, PrivateKey, PublicKey};
use crate::{Error, Result};

/// What the signature is for (`ssh-keygen -n`): a signature for another purpose does not count here.
pub const NAMESPACE: &str = "stead-image";
/// Who signs (`ssh-keygen -I`).
pub const SIGNER: &str = "stead";

/// The text that is signed: each artefact's SHA-256 and name, by name, as `sha256sum` writes them.
///
/// # Errors
/// Fails where a name holds a slash, a backslash or a control character, which `sha256sum` would read otherwise.
pub fn sums(artefacts: &BTreeMap<String, Artefact>) -> Result<String> {
    let mut text = String::new();
    for (name, artefact) in artefacts {
        if name.is_empty() || name.contains(|c: char| c == '/' || c == '\\' || c.is_control()) {
            return Err(Error::failed(format!("{name:?} is no name for an artefact"))
                .hint("give it a plain file name, like disk.qcow2"));
        }
        let _ = writeln!(text, "{}  {name}", artefact.sha256);
    }
    Ok(text)
}

/// The digests of a text that [`sums`] made, by name.
///
/// # Errors
/// Fails at the first line that names no digest.
pub fn parse_sums(text: &str) -> Result<BTreeMap<String, String>> {
    let line = |line: &str| {
        let (sha256, name) = line.split_once("  ")?;
        let digest = sha256.len() == 64 && sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (digest && !name.is_empty()).then(|| (name.to_owned(), sha256.to_owned()))
    };
    let lines = text.lines().enumerate().map(|(at, text)| {
        line(text).ok_or_else(|| {
            Error::input(format!("line {} of the digests names no digest", at + 1))
                .hint("a line is a SHA-256 in hexadecimal, two spaces, and a file's name, as `sha256sum` writes it")
        })
    });
    lines.collect()
}

/// Signs a message; the signature is armored text (`-----BEGIN SSH SIGNATURE-----`).
///
/// # Errors
/// Fails where the key cannot sign.
pub fn sign(key: &PrivateKey, namespace: &str, message: &[u8]) -> Result<String> {
    key.sign(namespace, HashAlg::Sha512, message)
        .and_then(|signature| signature.to_pem(LineEnding::LF))
        .map_err(|error| Error::failed("signing the image's record").because(error))
}

/// Checks that this key signed this message, for this purpose.
///
/// # Errors
/// Fails where it did not, and where the text is no signature.
pub fn verify(key: &PublicKey, namespace: &str, message: &[u8], armored: &str) -> Result<()> {
    let signature = SshSig::from_pem(armored).map_err(|error| {
        Error::input("the signature is not one that `ssh-keygen -Y sign` makes")
            .because(error)
            .hint("it is a file that begins with -----BEGIN SSH SIGNATURE-----; fetch it again")
    })?;
    key.verify(namespace, message, &signature).map_err(|error| {
        Error::failed(format!("the signature does not hold: {} did not sign this for {namespace}", keypair::fingerprint(key)))
            .because(error)
            .hint("do not use the image; get it again, with its digests, their signature and the signer's key from where it was built")
    })
}

/// The line of an `allowed_signers` file by which `ssh-keygen -Y verify` knows the signer, with its newline.
///
/// # Errors
/// Fails where the key cannot be encoded.
pub fn allowed_signer(key: &PublicKey) -> Result<String> {
    // A comment would be read as part of the line as well; the key alone says all.
    let key = keypair::public_text(&PublicKey::from(key.key_data().clone()))?;
    Ok(format!("{SIGNER} namespaces=\"{NAMESPACE}\" {}\n", key.trim_end()))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;

    fn artefacts() -> BTreeMap<String, Artefact> {
        let artefact = |byte: &str| Artefact { sha256: byte.repeat(32), size: 1 };
        BTreeMap::from([("disk.qcow2".into(), artefact("ab")), ("a b.json".into(), artefact("01"))])
    }

    #[test]
    fn digests_are_written_as_sha256sum_writes_them() {
        let text = sums(&artefacts()).unwrap();
        assert_eq!(text, format!("{}  a b.json\n{}  disk.qcow2\n", "01".repeat(32), "ab".repeat(32)));
        assert_eq!(parse_sums(&text).unwrap()["disk.qcow2"], "ab".repeat(32));
        for name in ["../x", "", "a\nb", "a\\b"] {
            assert!(sums(&BTreeMap::from([(name.into(), Artefact { sha256: String::new(), size: 0 })])).is_err());
        }
        assert!(parse_sums("abc  x\n").unwrap_err().to_string().starts_with("line 1 "));
    }

    #[test]
    fn only_this_key_this_message_and_this_purpose() {
        let (key, other) = (keypair::generate("image").unwrap(), keypair::generate("other").unwrap());
        let signature = sign(&key, NAMESPACE, b"message").unwrap();
        assert_eq!(signature, sign(&key, NAMESPACE, b"message").unwrap(), "the same again");
        verify(key.public_key(), NAMESPACE, b"message", &signature).unwrap();
        assert!(verify(key.public_key(), NAMESPACE, b"messagf", &signature).is_err());
        assert!(verify(key.public_key(), "file", b"message", &signature).is_err());
        assert!(verify(other.public_key(), NAMESPACE, b"message", &signature).is_err());
    }

    #[test]
    fn rooted_ssh_keygen_accepts_ours_and_we_accept_its() {
        let dir = tempfile::tempdir().unwrap();
        let key = keypair::generate("image").unwrap();
        let message = sums(&artefacts()).unwrap();
        fs_err::write(dir.path().join("sums"), &message).unwrap();
        fs_err::write(dir.path().join("sums.ours"), sign(&key, NAMESPACE, message.as_bytes()).unwrap()).unwrap();
        fs_err::write(dir.path().join("allowed"), allowed_signer(key.public_key()).unwrap()).unwrap();
        let private = camino::Utf8PathBuf::from_path_buf(dir.path().join("key")).unwrap();
        keypair::write(&private, &key).unwrap();
        let ssh_keygen = |arguments: &str, input: &str| {
            let output = Command::new("ssh-keygen")
                .args(arguments.split(' '))
                .current_dir(&dir)
                .stdin(Stdio::from(fs_err::File::open(dir.path().join(input)).unwrap().into_file()))
                .output()
                .unwrap();
            (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let verify_by = |namespace: &str| format!("-Y verify -f allowed -I {SIGNER} -n {namespace} -s sums.ours");
        let (accepted, said) = ssh_keygen(&verify_by(NAMESPACE), "sums");
        assert!(accepted, "{said}");
        assert!(!ssh_keygen(&verify_by("file"), "sums").0, "another purpose");
        assert!(!ssh_keygen(&verify_by(NAMESPACE), "allowed").0, "another message");

        let (signed, said) = ssh_keygen(&format!("-Y sign -f key -n {NAMESPACE} sums"), "sums");
        assert!(signed, "{said}");
        let theirs = fs_err::read_to_string(dir.path().join("sums.sig")).unwrap();
        verify(key.public_key(), NAMESPACE, message.as_bytes(), &theirs).unwrap();
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_never_a_panic(text in ".{0,200}") {
            let key = keypair::generate("image").unwrap();
            prop_assert!(verify(key.public_key(), NAMESPACE, b"", &text).is_err());
            let _ = parse_sums(&text);
        }
    }
}
