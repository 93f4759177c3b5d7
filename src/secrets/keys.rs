//! The fleet's keys: in `.stead/keys/`, a folder that only its owner may enter.
//!
//! | file | what |
//! | --- | --- |
//! | `fleet_ssh` | Ed25519 key pair by which the controller logs in to nodes |
//! | `envelope_signer` | Ed25519 key pair that signs envelopes; nodes know its public half |
//! | `image_signer` | Ed25519 key pair that signs images' records; whoever verifies them knows its public half |
//! | `audit_signer` | Ed25519 key pair that signs checkpoints of the audit log |
//! | `fingerprint.key` | 32 bytes, in hexadecimal, from which every secret's fingerprint key is derived |
//! | `operator.agekey` | this operator's age identity (X25519), in `age-keygen`'s format; opens the vault |

use age::x25519::Identity;
use camino::{Utf8Path, Utf8PathBuf};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::id::WorkspaceId;
use crate::keypair::{self, PrivateKey};
use crate::wire::fingerprint::KEY_LEN;
use crate::{Error, Result, age_identity, atomic_file, ownership};

/// The operator's age identity, within the folder of keys.
const OPERATOR_FILE: &str = "operator.agekey";
const FILES: [&str; 6] =
    ["fleet_ssh", "envelope_signer", "image_signer", "audit_signer", "fingerprint.key", OPERATOR_FILE];

/// The fleet's keys, read into memory.
pub struct FleetKeys {
    ssh: PrivateKey,
    signer: PrivateKey,
    image_signer: PrivateKey,
    audit_signer: PrivateKey,
    fingerprint: Zeroizing<[u8; KEY_LEN]>,
    operator: OperatorKey,
}

impl FleetKeys {
    /// Where the keys lie in a fleet's folder.
    pub fn folder(fleet_dir: &Utf8Path) -> Utf8PathBuf {
        fleet_dir.join(".stead/keys")
    }

    /// Reads the keys, and makes none of the fleet's: on one of several machines, keys that are missing are lost or elsewhere.
    /// Only an operator's key of this machine is made where it is missing; it opens nothing.
    ///
    /// # Errors
    /// Fails where a file is missing, cannot be read, or holds something else than its key.
    pub fn open(folder: &Utf8Path) -> Result<Self> {
        let missing = FILES.into_iter().find(|name| *name != OPERATOR_FILE && !folder.join(name).exists());
        if let Some(name) = missing {
            return Err(Error::input(format!("the fleet's key {folder}/{name} is not here")).hint(
                "copy .stead/keys here from the fleet's folder, without operator.agekey, readable for root alone",
            ));
        }
        Self::open_or_create(folder)
    }

    /// Reads the keys, and makes those that are missing. Of several processes at once all get the same keys.
    ///
    /// # Errors
    /// Fails where a file cannot be read or written, or holds something else than its key.
    pub fn open_or_create(folder: &Utf8Path) -> Result<Self> {
        atomic_file::private_folder(folder)?;
        let files = FILES.map(|name| folder.join(name));
        let keys = Self {
            ssh: keypair::read_or_create(&files[0], "stead-fleet")?,
            signer: keypair::read_or_create(&files[1], "stead-envelopes")?,
            image_signer: keypair::read_or_create(&files[2], "stead-images")?,
            audit_signer: keypair::read_or_create(&files[3], "stead-audit")?,
            fingerprint: fingerprint_key(&files[4])?,
            operator: OperatorKey(age_identity::read_or_create(&files[5])?),
        };
        // From the outside in: each takes the owner of the folder that it lies in.
        for path in folder.parent().into_iter().chain([folder]).chain(files.iter().map(Utf8PathBuf::as_path)) {
            ownership::inherit(path)?;
        }
        Ok(keys)
    }

    /// The key by which the controller logs in to nodes.
    pub fn ssh(&self) -> &PrivateKey {
        &self.ssh
    }

    /// The key that signs envelopes. Its public half reaches a node by its bootstrap (`signer` in `/etc/stead/node.json`).
    pub fn signer(&self) -> &PrivateKey {
        &self.signer
    }

    /// The key that signs images' records.
    pub fn image_signer(&self) -> &PrivateKey {
        &self.image_signer
    }

    /// The key that signs checkpoints of the audit log.
    pub fn audit_signer(&self) -> &PrivateKey {
        &self.audit_signer
    }

    /// This operator's key to the vault.
    pub fn operator(&self) -> &OperatorKey {
        &self.operator
    }

    /// The fingerprint key of one secret of one workspace: HKDF-SHA-256 (RFC 5869) of the fleet's key. It does not
    /// depend on the node, so that it stays over a rebuild; and a node that learns it learns nothing of another secret's.
    pub fn fingerprint_key(&self, workspace: WorkspaceId, name: &str) -> Zeroizing<[u8; KEY_LEN]> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        let (workspace, name) = (workspace.to_string(), name.as_bytes());
        // Neither a workspace's id nor a secret's name holds a NUL: the parts cannot run into one another.
        Hkdf::<Sha256>::new(None, &*self.fingerprint)
            .expand_multi_info(&[b"stead fingerprint v1\0", workspace.as_bytes(), b"\0", name], &mut *key)
            .expect("32 bytes are within what HKDF-SHA-256 gives");
        key
    }
}

/// One or more age identities of an operator.
pub struct OperatorKey(Vec<Identity>);

impl OperatorKey {
    /// Where the key lies in a fleet's folder.
    pub fn path(fleet_dir: &Utf8Path) -> Utf8PathBuf {
        FleetKeys::folder(fleet_dir).join(OPERATOR_FILE)
    }

    /// Reads a file as `age-keygen` writes it; `None` where there is none.
    ///
    /// # Errors
    /// Fails where the file cannot be read, or holds anything else than X25519 identities.
    pub fn read(path: &Utf8Path) -> Result<Option<Self>> {
        Ok(age_identity::read(path)?.map(Self))
    }

    /// The recipient (`age1…`) by which others encrypt to this operator.
    pub fn recipient(&self) -> String {
        self.0[0].to_public().to_string()
    }

    pub(super) fn identities(&self) -> &[Identity] {
        &self.0
    }
}

fn fingerprint_key(path: &Utf8Path) -> Result<Zeroizing<[u8; KEY_LEN]>> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    if atomic_file::read(path)?.is_none() {
        getrandom::fill(&mut *key).map_err(|error| Error::failed(format!("no randomness: {error}")))?;
        let text = Zeroizing::new(format!("{}\n", hex::encode(key.as_slice())));
        if atomic_file::create(path, text.as_bytes(), 0o600)? {
            return Ok(key);
        }
    }
    let text = Zeroizing::new(atomic_file::read(path)?.unwrap_or_default());
    hex::decode_to_slice(text.trim_ascii(), &mut *key).map_err(|error| {
        Error::input(format!("{path} does not hold 32 bytes in hexadecimal"))
            .because(error)
            .hint("put the file back from a backup of .stead; without it every secret's fingerprint becomes another")
    })?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn made_once_for_the_owner_alone() {
        let guard = tempfile::tempdir().unwrap();
        let dir = Utf8PathBuf::from_path_buf(guard.path().join(".stead/keys")).unwrap();
        let made = FleetKeys::open_or_create(&dir).unwrap();
        let again = FleetKeys::open_or_create(&dir).unwrap();
        assert_eq!(made.ssh().public_key(), again.ssh().public_key());
        assert_eq!(made.signer().public_key(), again.signer().public_key());
        assert_eq!(made.image_signer().public_key(), again.image_signer().public_key());
        assert_ne!(made.signer().public_key(), again.ssh().public_key());
        assert_ne!(made.signer().public_key(), again.image_signer().public_key());
        assert_eq!(made.operator().recipient(), again.operator().recipient());
        let workspace = WorkspaceId::new();
        assert_eq!(made.fingerprint_key(workspace, "A"), again.fingerprint_key(workspace, "A"));
        assert_ne!(made.fingerprint_key(workspace, "A"), made.fingerprint_key(workspace, "B"));
        assert_ne!(made.fingerprint_key(workspace, "A"), made.fingerprint_key(WorkspaceId::new(), "A"));

        let mode = |path: &Utf8Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&dir), 0o700);
        let files: Vec<_> = dir.read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path()).collect();
        assert_eq!(files.len(), 6);
        assert!(files.iter().all(|file| mode(file) == 0o600));
    }
}
