//! Takes secrets: checks their envelope, opens it in memory, and hands the value to systemd, encrypted to this machine.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::exec::Run;
use super::node_record::NodeRecord;
use super::{Machine, Paths, identity};
use crate::error::Context;
use crate::redact::Secret;
use crate::wire::envelope::{Envelope, Payload, check_name};
use crate::wire::fingerprint::fingerprint;
use crate::{Error, Result, atomic_file, keypair};

/// What the node remembers of a secret that it holds: `/var/lib/stead/secrets/NAME.json`. Salt and key are there so that
/// the workload can tell the fingerprint of the value that it was really given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRecord {
    /// The record's format: 1.
    pub format: u32,
    /// The version that is held.
    pub version: u64,
    /// The value's fingerprint.
    pub fingerprint: String,
    /// The fingerprint's salt, in hexadecimal.
    pub salt: String,
    /// The fingerprint's key, in hexadecimal.
    pub fingerprint_key: String,
}

/// A secret that the node holds, with its value.
pub(super) struct Held {
    /// Its name.
    pub(super) name: String,
    /// What is known of it.
    pub(super) record: SecretRecord,
    /// The value.
    pub(super) value: Secret,
}

/// A secret that the node holds, without its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretStatus {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// Its value's fingerprint.
    pub fingerprint: String,
    /// Whether the credential is there as well; where it is not, the secret has to be delivered again.
    pub present: bool,
}

/// Left by a removal, so that an older envelope does not bring the secret back.
#[derive(Serialize, Deserialize)]
struct Removed {
    version: u64,
}

/// Stores the secret of an envelope. Returns its fingerprint, and whether anything changed.
///
/// The credential is written before the record: after a crash in between, the same envelope is stored once more.
///
/// # Errors
/// Fails where the envelope is not signed by this fleet, is for another node, is older than what is held (or was removed),
/// or cannot be opened; and where systemd cannot encrypt it.
pub fn put(paths: &Paths, envelope: &Envelope) -> Result<(String, bool)> {
    let node = NodeRecord::read(paths)?;
    envelope.verify(&keypair::parse_public(&node.signer)?)?;
    let name = &envelope.name;
    if (&envelope.fleet, &envelope.node) != (&node.fleet, &node.node) {
        return Err(Error::failed(format!(
            "the envelope of {name} is for {} of {}, this node is {} of {}",
            envelope.node, envelope.fleet, node.node, node.fleet
        )));
    }
    let held = read_record(paths, name)?;
    let lowest = match (&held, read_removed(paths, name)?) {
        (Some(held), _) => held.version,
        (None, Some(removed)) => removed.version.saturating_add(1),
        (None, None) => 0,
    };
    if envelope.version < lowest {
        return Err(Error::failed(format!(
            "version {} of {name} is older than what this node has seen: it takes {lowest} or higher",
            envelope.version
        ))
        .hint("an old envelope came again; set the value anew: `stead secret set`"));
    }
    let payload = open(paths, envelope)?;
    let fingerprint = fingerprint(&payload.fingerprint_key, &payload.salt, payload.value.expose());
    let record = SecretRecord {
        format: 1,
        version: envelope.version,
        fingerprint: fingerprint.clone(),
        salt: hex::encode(payload.salt),
        fingerprint_key: hex::encode(*payload.fingerprint_key),
    };
    if held.as_ref() == Some(&record) && paths.credential(name).exists() {
        return Ok((fingerprint, false));
    }
    store(paths, &Held { name: name.clone(), record, value: payload.value })?;
    Ok((fingerprint, true))
}

/// Hands a value to systemd, and writes down what is known of it.
///
/// # Errors
/// Fails where its fingerprint is another than its record says, systemd cannot encrypt it, or a file cannot be written.
pub(super) fn store(paths: &Paths, held: &Held) -> Result<()> {
    let Held { name, record, value } = held;
    let bytes = |text: &str| hex::decode(text).unwrap_or_default();
    let (key, salt) = (Zeroizing::new(bytes(&record.fingerprint_key)), bytes(&record.salt));
    let same = match (key.as_slice().try_into(), salt.as_slice().try_into()) {
        (Ok(key), Ok(salt)) => fingerprint(key, salt, value.expose()) == record.fingerprint,
        _ => false,
    };
    if !same {
        return Err(Error::failed(format!("the value of {name} is not the one that its record tells of")));
    }
    let credential = encrypt(paths, name, value)?;
    atomic_file::private_folder(&paths.credstore())?;
    atomic_file::write(&paths.credential(name), &credential, 0o600)?;
    let json = serde_json::to_vec(record).map_err(|error| Error::failed("encoding a record").because(error))?;
    atomic_file::private_folder(&paths.secrets_dir())?;
    atomic_file::write(&paths.secret_record(name), &json, 0o600)?;
    atomic_file::remove(&removed_path(paths, name))?;
    Ok(())
}

/// The secrets that the node holds, with their values, in memory.
///
/// # Errors
/// Fails where a record cannot be read, or systemd cannot decrypt a value that is there.
pub(super) fn held(paths: &Paths) -> Result<Vec<Held>> {
    let mut all = Vec::new();
    for SecretStatus { name, .. } in status(paths)?.into_iter().filter(|held| held.present) {
        let Some(record) = read_record(paths, &name)? else { continue };
        let value = decrypt(paths, &name)?;
        all.push(Held { name, record, value });
    }
    Ok(all)
}

/// Forgets a secret; what remains is the number of its version. Returns whether there was one.
///
/// # Errors
/// Fails where the name is not one for a secret, or a file cannot be removed.
pub fn remove(paths: &Paths, name: &str) -> Result<bool> {
    check_name(name)?;
    if let Some(held) = read_record(paths, name)? {
        let removed = Removed { version: held.version };
        let json = serde_json::to_vec(&removed).map_err(|error| Error::failed("encoding a record").because(error))?;
        atomic_file::write(&removed_path(paths, name), &json, 0o600)?;
    }
    let credential = atomic_file::remove(&paths.credential(name))?;
    let record = atomic_file::remove(&paths.secret_record(name))?;
    Ok(credential || record)
}

/// The secrets that the node holds, sorted by name.
///
/// # Errors
/// Fails where a record cannot be read.
pub fn status(paths: &Paths) -> Result<Vec<SecretStatus>> {
    let folder = paths.secrets_dir();
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut held = Vec::new();
    for entry in folder.read_dir_utf8().with_context(|| format!("reading {folder}"))? {
        let path = entry.with_context(|| format!("reading {folder}"))?.into_path();
        let (Some("json"), Some(name)) = (path.extension(), path.file_stem()) else { continue };
        if let (Ok(()), Some(record)) = (check_name(name), read_record(paths, name)?) {
            let (version, fingerprint) = (record.version, record.fingerprint);
            held.push(SecretStatus {
                name: name.to_owned(),
                version,
                fingerprint,
                present: paths.credential(name).exists(),
            });
        }
    }
    held.sort();
    Ok(held)
}

/// The values that the node holds, in memory, for those who must keep them out of what they tell. One that cannot be
/// decrypted is left out: no program on the node can tell it either.
///
/// # Errors
/// Fails where the records cannot be read.
pub(crate) fn values(machine: &Machine) -> Result<Vec<Secret>> {
    let paths = &machine.paths;
    let mut values = Vec::new();
    for held in status(paths)?.into_iter().filter(|held| held.present) {
        let (name, credential) = (format!("--name={}", held.name), paths.credential(&held.name));
        let run = Run::new(["systemd-creds", "decrypt", &name, credential.as_str(), "-"]);
        if let Ok(output) = machine.commands.must(&run) {
            values.push(Secret::new(output.stdout.into_bytes()));
        }
    }
    Ok(values)
}

fn open(paths: &Paths, envelope: &Envelope) -> Result<Payload> {
    let identities = identity::read(paths)?;
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::failed(format!("this node cannot open the envelope of {}", envelope.name))
            .because(error)
            .hint("it was sealed for another recipient: ask for the node's identity anew and seal the value again")
    };
    let ciphertext = envelope.ciphertext_bytes()?;
    // As long as it can become: growing would leave copies of the value behind.
    let mut plain = Zeroizing::new(Vec::with_capacity(ciphertext.len()));
    age::Decryptor::new(&ciphertext[..])
        .and_then(|decryptor| decryptor.decrypt(identities.iter().map(|identity| identity as &dyn age::Identity)))
        .map_err(|error| failed(error.into()))?
        .take(Payload::MAX_LEN as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(|error| failed(error.into()))?;
    Payload::decode(&plain)
}

/// Encrypts a value to this machine's own key. It goes in by standard input and comes back encrypted: no file, no
/// argument and no variable holds it.
pub(crate) fn encrypt(paths: &Paths, name: &str, value: &Secret) -> Result<Vec<u8>> {
    let mut command = Command::new("systemd-creds");
    command.args(["encrypt", "--with-key=host", &format!("--name={name}"), "-", "-"]);
    if !paths.is_machine() {
        command.env("SYSTEMD_CREDENTIAL_SECRET", paths.at("/var/lib/systemd/credential.secret"));
    }
    let failed = || {
        Error::failed(format!("systemd-creds could not encrypt {name}"))
            .hint("systemd 250 or newer is needed on the node, and a machine id; look at `systemd-creds setup`")
    };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed().because(error))?;
    // It reads to the end before it writes, so both pipes cannot be full at once.
    let sent = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(value.expose()));
    let output = child.wait_with_output().map_err(|error| failed().because(error))?;
    if !output.status.success() {
        return Err(failed().because(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    sent.map_err(|error| failed().because(error))?;
    Ok(output.stdout)
}

/// Decrypts a value. It comes back on a pipe: no file holds it.
fn decrypt(paths: &Paths, name: &str) -> Result<Secret> {
    let mut command = Command::new("systemd-creds");
    command.args(["decrypt", &format!("--name={name}"), paths.credential(name).as_str(), "-"]);
    if !paths.is_machine() {
        command.env("SYSTEMD_CREDENTIAL_SECRET", paths.at("/var/lib/systemd/credential.secret"));
    }
    let failed = || Error::failed(format!("systemd-creds could not decrypt {name}"));
    let output = command.stdin(Stdio::null()).output().map_err(|error| failed().because(error))?;
    let value = Secret::new(output.stdout);
    if output.status.success() {
        return Ok(value);
    }
    Err(failed().because(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

fn read_record(paths: &Paths, name: &str) -> Result<Option<SecretRecord>> {
    read_json(&paths.secret_record(name))
}

fn removed_path(paths: &Paths, name: &str) -> camino::Utf8PathBuf {
    paths.secrets_dir().join(format!("{name}.removed"))
}

fn read_removed(paths: &Paths, name: &str) -> Result<Option<Removed>> {
    read_json(&removed_path(paths, name))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &camino::Utf8Path) -> Result<Option<T>> {
    let Some(contents) = atomic_file::read(path)? else { return Ok(None) };
    serde_json::from_slice(&contents)
        .map(Some)
        .map_err(|error| Error::failed(format!("{path} is not a secret's record")).because(error))
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;
    use crate::id::{FleetId, NodeId};
    use crate::keypair::PrivateKey;

    struct Node {
        paths: Paths,
        fleet: FleetId,
        node: NodeId,
        signer: PrivateKey,
        _guard: tempfile::TempDir,
    }

    impl Node {
        fn new() -> Self {
            let guard = tempfile::tempdir().unwrap();
            let paths = Paths::new(Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap());
            let (fleet, node) = (FleetId::mint(), NodeId::new());
            let signer = keypair::generate("signer").unwrap();
            let record = NodeRecord {
                fleet: fleet.to_string(),
                node: node.to_string(),
                mark: crate::id::Mark::new(&fleet, node).to_string(),
                signer: keypair::public_text(signer.public_key()).unwrap(),
            };
            std::fs::create_dir_all(paths.node_json().parent().unwrap()).unwrap();
            std::fs::create_dir_all(paths.at("/var/lib/systemd")).unwrap();
            std::fs::write(paths.node_json(), serde_json::to_vec(&record).unwrap()).unwrap();
            identity::recipient(&paths).unwrap();
            Self { paths, fleet, node, signer, _guard: guard }
        }

        fn seal(&self, version: u64, value: &[u8]) -> Envelope {
            self.seal_by(&self.signer, &self.fleet, self.node, version, value)
        }

        fn seal_by(&self, signer: &PrivateKey, fleet: &FleetId, node: NodeId, version: u64, value: &[u8]) -> Envelope {
            let payload =
                Payload { salt: [1; 16], fingerprint_key: Zeroizing::new([2; 32]), value: Secret::new(value.to_vec()) };
            let recipient: age::x25519::Recipient = identity::recipient(&self.paths).unwrap().parse().unwrap();
            let ciphertext = age::encrypt(&recipient, &payload.encode()).unwrap();
            Envelope::sign(fleet, node, "API_KEY", version, &ciphertext, signer).unwrap()
        }

        fn decrypt(&self) -> Vec<u8> {
            let output = Command::new("systemd-creds")
                .args(["decrypt", "--name=API_KEY", self.paths.credential("API_KEY").as_str(), "-"])
                .env("SYSTEMD_CREDENTIAL_SECRET", self.paths.at("/var/lib/systemd/credential.secret"))
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        }
    }

    #[test]
    fn a_value_reaches_systemd_and_stays_nowhere_in_the_clear() {
        let node = Node::new();
        let envelope = node.seal(3, b"a-marked-value");
        let (fingerprint, changed) = put(&node.paths, &envelope).unwrap();
        assert!(changed && fingerprint == super::fingerprint(&[2; 32], &[1; 16], b"a-marked-value"));
        assert_eq!(node.decrypt(), b"a-marked-value");
        assert_eq!(put(&node.paths, &envelope).unwrap(), (fingerprint.clone(), false));
        let held = SecretStatus { name: "API_KEY".into(), version: 3, fingerprint, present: true };
        assert_eq!(status(&node.paths).unwrap(), [held]);
        let found = Command::new("grep").args(["-rlF", "a-marked-value", node.paths.root().as_str()]).output().unwrap();
        assert_eq!(String::from_utf8(found.stdout).unwrap(), "");
    }

    #[test]
    fn only_its_own_fleet_and_only_newer_versions() {
        let node = Node::new();
        put(&node.paths, &node.seal(5, b"five")).unwrap();
        let refused = |envelope: &Envelope, says: &str| {
            let error = put(&node.paths, envelope).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            assert_eq!(node.decrypt(), b"five");
        };
        refused(&node.seal(4, b"four"), "older");
        refused(&node.seal_by(&keypair::generate("x").unwrap(), &node.fleet, node.node, 6, b"x"), "not signed");
        refused(&node.seal_by(&node.signer, &node.fleet, NodeId::new(), 6, b"x"), "this node is");
        refused(&node.seal_by(&node.signer, &FleetId::mint(), node.node, 6, b"x"), "this node is");
        let mut tampered = node.seal(6, b"six");
        tampered.version = 7;
        refused(&tampered, "not signed");
        put(&node.paths, &node.seal(6, b"six")).unwrap();
        assert_eq!(node.decrypt(), b"six");
    }

    #[test]
    fn an_envelope_for_another_recipient_says_so() {
        let node = Node::new();
        let envelope = node.seal(1, b"x");
        std::fs::remove_file(node.paths.identity()).unwrap();
        identity::recipient(&node.paths).unwrap();
        let error = put(&node.paths, &envelope).unwrap_err();
        assert!(error.to_string().contains("cannot open"), "{error:?}");
    }

    #[test]
    fn a_crash_between_credential_and_record_heals() {
        let node = Node::new();
        put(&node.paths, &node.seal(1, b"one")).unwrap();
        let record = std::fs::read(node.paths.secret_record("API_KEY")).unwrap();
        let newer = node.seal(2, b"two");
        put(&node.paths, &newer).unwrap();
        // The credential is the new one, the record still the old one.
        std::fs::write(node.paths.secret_record("API_KEY"), record).unwrap();
        assert!(put(&node.paths, &newer).unwrap().1);
        assert_eq!(status(&node.paths).unwrap()[0].version, 2);
        // The record is there, the credential is lost.
        std::fs::remove_file(node.paths.credential("API_KEY")).unwrap();
        assert!(!status(&node.paths).unwrap()[0].present);
        assert!(put(&node.paths, &newer).unwrap().1);
        assert_eq!(node.decrypt(), b"two");
    }

    #[test]
    fn what_was_removed_does_not_come_back_by_an_old_envelope() {
        let node = Node::new();
        let envelope = node.seal(1, b"one");
        put(&node.paths, &envelope).unwrap();
        assert!(remove(&node.paths, "API_KEY").unwrap());
        assert!(!remove(&node.paths, "API_KEY").unwrap());
        assert!(remove(&node.paths, "../node").is_err());
        assert_eq!(status(&node.paths).unwrap(), []);
        assert!(put(&node.paths, &envelope).is_err());
        put(&node.paths, &node.seal(2, b"two")).unwrap();
        assert_eq!(node.decrypt(), b"two");
    }
}
