//! The operator vault: values that wait for their node, and operators' own, as age files in the fleet's repository.
//!
//! `secrets/WORKSPACE/NAME.age` is an armored age file, encrypted to every operator. Anyone with the repository can put
//! a value in; only an operator's key takes it out. The `age` command reads and writes the same files.

use std::io::{Read, Write};

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::{DecryptError, Decryptor, Encryptor};
use camino::{Utf8Path, Utf8PathBuf};
use zeroize::Zeroizing;

use super::keys::OperatorKey;
use super::operators::Operators;
use crate::error::Context;
use crate::redact::Secret;
use crate::wire::envelope::{MAX_VALUE, check_name};
use crate::{Error, Result, atomic_file, ownership};

/// The vault of one fleet.
pub struct Vault {
    folder: Utf8PathBuf,
    operators: Operators,
    key_path: Utf8PathBuf,
}

/// A value in the vault, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The workspace's slug.
    pub workspace: String,
    /// The secret's name.
    pub name: String,
}

impl Vault {
    /// Opens the vault of the fleet in a folder. The operator's key is read when a value is taken out, not before.
    ///
    /// # Errors
    /// Fails where the operators' files are broken.
    pub fn open(fleet_dir: &Utf8Path) -> Result<Self> {
        Ok(Self {
            folder: fleet_dir.join("secrets"),
            operators: Operators::read(fleet_dir)?,
            key_path: OperatorKey::path(fleet_dir),
        })
    }

    /// Puts a value in, over one that is there.
    ///
    /// # Errors
    /// Fails where a name is not legal, the value is empty or too long, the fleet has no operator, or the file cannot be
    /// written.
    pub fn put(&self, workspace: &str, name: &str, value: &Secret) -> Result<()> {
        let path = self.path(workspace, name)?;
        let length = value.expose().len();
        if length == 0 || length > MAX_VALUE {
            return Err(Error::input(format!("the value of {name} has {length} bytes"))
                .hint(format!("give a value of 1 to {MAX_VALUE} bytes on stdin")));
        }
        let recipients = self.operators.recipients()?;
        let contents = encrypt(&recipients, value).map_err(|error| error.context(format!("encrypting {path}")))?;
        let folder = self.folder.join(workspace);
        std::fs::create_dir_all(&folder).with_context(|| format!("making {folder}"))?;
        atomic_file::write(&path, &contents, 0o644)?;
        [&self.folder, &folder, &path].into_iter().try_for_each(|path| ownership::inherit(path))
    }

    /// Takes a value out; `None` where there is none of that name.
    ///
    /// # Errors
    /// Fails where a name is not legal, the operator's key is missing or does not open the file, or the file is broken.
    pub fn get(&self, workspace: &str, name: &str) -> Result<Option<Secret>> {
        let path = self.path(workspace, name)?;
        let Some(contents) = atomic_file::read(&path)? else { return Ok(None) };
        let key = OperatorKey::read(&self.key_path)?.ok_or_else(|| {
            Error::input(format!("{path} is encrypted, and this operator's key {} is missing", self.key_path))
                .hint(format!("the fleet's operators are {}", self.operators.describe()))
                .hint(format!("if you are one of them, put your key there; if not, {}", self.ask_for_access()))
        })?;
        let identities = key.identities().iter().map(|identity| identity as &dyn age::Identity);
        let mut plain = Zeroizing::new(Vec::with_capacity(contents.len()));
        let broken = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::input(format!("{path} is not an age file, or a damaged one")).because(error).hint(format!(
                "put it back from the repository's history, or set it anew: `stead secret set {workspace} {name}`"
            ))
        };
        let reader = Decryptor::new(ArmoredReader::new(&contents[..]))
            .and_then(|decryptor| decryptor.decrypt(identities))
            .map_err(|error| match error {
                DecryptError::NoMatchingKeys => self.not_for(&path, &key),
                error => broken(error.into()),
            })?;
        reader.take(MAX_VALUE as u64 + 1).read_to_end(&mut plain).map_err(|error| broken(error.into()))?;
        if plain.len() > MAX_VALUE {
            return Err(Error::input(format!("{path} holds more than the {MAX_VALUE} bytes that a secret may have")));
        }
        Ok(Some(Secret::new(std::mem::take(&mut *plain))))
    }

    /// Takes a value away. Returns whether there was one; the repository's history keeps it, encrypted.
    ///
    /// # Errors
    /// Fails where a name is not legal or the file cannot be removed.
    pub fn remove(&self, workspace: &str, name: &str) -> Result<bool> {
        let removed = atomic_file::remove(&self.path(workspace, name)?)?;
        // The folder goes with its last file; one that is not empty stays.
        let _ = std::fs::remove_dir(self.folder.join(workspace));
        Ok(removed)
    }

    /// What is in the vault, sorted by workspace and name.
    ///
    /// # Errors
    /// Fails where a folder cannot be read, or a file's name is none that this vault would write.
    pub fn list(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for workspace in folder_entries(&self.folder)?.into_iter().filter(|path| path.is_dir()) {
            for path in folder_entries(&workspace)? {
                if let (Some("age"), Some(name)) = (path.extension(), path.file_stem()) {
                    let slug = workspace.file_name().unwrap_or_default();
                    self.path(slug, name).with_context(|| format!("{path} is no file of the vault"))?;
                    entries.push(Entry { workspace: slug.to_owned(), name: name.to_owned() });
                }
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn path(&self, workspace: &str, name: &str) -> Result<Utf8PathBuf> {
        let legal = (1..=63).contains(&workspace.len())
            && workspace.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && workspace.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
        if !legal {
            return Err(Error::input(format!("{workspace:?} is not a workspace's name"))
                .hint("a workspace's name has 1 to 63 lower-case letters, digits and `-`"));
        }
        check_name(name)?;
        Ok(self.folder.join(workspace).join(format!("{name}.age")))
    }

    fn not_for(&self, path: &Utf8Path, key: &OperatorKey) -> Error {
        let recipient = key.recipient();
        let listed = self.operators.list().iter().any(|operator| operator.recipients.contains(&recipient));
        let error = Error::input(format!("{path} is not encrypted to this operator's key ({recipient})"))
            .hint(format!("the fleet's operators are {}", self.operators.describe()));
        if listed {
            error.hint("this key was added after the file was written: have an operator who can open it give the value again with `stead secret set`")
        } else {
            error.hint(self.ask_for_access())
        }
    }

    fn ask_for_access(&self) -> &'static str {
        "have one of them put your recipient into operators/NAME.pub, and give the values again with `stead secret set`"
    }
}

fn encrypt(recipients: &[age::x25519::Recipient], value: &Secret) -> Result<Vec<u8>> {
    let recipients = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
    let encryptor =
        Encryptor::with_recipients(recipients).map_err(|error| Error::failed("no recipient").because(error))?;
    let armored = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor)?;
    let mut writer = encryptor.wrap_output(armored)?;
    writer.write_all(value.expose())?;
    Ok(writer.finish()?.finish()?)
}

fn folder_entries(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    folder
        .read_dir_utf8()
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.into_path())).collect())
        .with_context(|| format!("reading {folder}"))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;
    use crate::secrets::keys::FleetKeys;

    struct Fleet {
        dir: Utf8PathBuf,
        keys: FleetKeys,
        _guard: tempfile::TempDir,
    }

    fn fleet() -> Fleet {
        let guard = tempfile::tempdir().unwrap();
        let dir = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
        let keys = FleetKeys::open_or_create(&FleetKeys::folder(&dir)).unwrap();
        Operators::read(&dir).unwrap().add("alice", &keys.operator().recipient()).unwrap();
        Fleet { dir, keys, _guard: guard }
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    #[test]
    fn a_value_waits_and_goes() {
        let fleet = fleet();
        let vault = Vault::open(&fleet.dir).unwrap();
        assert!(vault.get("acme", "API_KEY").unwrap().is_none());
        vault.put("acme", "API_KEY", &secret("one")).unwrap();
        vault.put("acme", "API_KEY", &secret("two")).unwrap();
        vault.put("acme", "B", &secret("b")).unwrap();
        assert_eq!(vault.get("acme", "API_KEY").unwrap().unwrap().expose(), b"two");
        let text = std::fs::read_to_string(fleet.dir.join("secrets/acme/API_KEY.age")).unwrap();
        assert!(text.starts_with("-----BEGIN AGE ENCRYPTED FILE-----"), "{text}");
        let names: Vec<_> = vault.list().unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["API_KEY", "B"]);
        assert!(vault.remove("acme", "API_KEY").unwrap() && !vault.remove("acme", "API_KEY").unwrap());
        assert!(vault.remove("acme", "B").unwrap());
        assert!(!fleet.dir.join("secrets/acme").exists(), "the folder goes with its last file");
    }

    #[test]
    fn either_of_two_operators_opens_it_and_a_third_does_not() {
        let (alice, bob, eve) = (fleet(), fleet(), fleet());
        Operators::read(&alice.dir).unwrap().add("bob", &bob.keys.operator().recipient()).unwrap();
        let vault = Vault::open(&alice.dir).unwrap();
        vault.put("acme", "K", &secret("value")).unwrap();
        let read_with = |other: &Fleet| {
            let vault = Vault { key_path: OperatorKey::path(&other.dir), ..Vault::open(&alice.dir).unwrap() };
            vault.get("acme", "K").map(|value| value.unwrap().expose().to_vec())
        };
        assert_eq!(read_with(&alice).unwrap(), b"value");
        assert_eq!(read_with(&bob).unwrap(), b"value");
        let error = format!("{:?}", read_with(&eve).unwrap_err());
        assert!(error.contains("alice (age1") && error.contains("bob (age1"), "{error}");
        assert!(error.contains("operators/NAME.pub"), "{error}");

        std::fs::remove_file(OperatorKey::path(&alice.dir)).unwrap();
        let error = format!("{:?}", vault.get("acme", "K").unwrap_err());
        assert!(error.contains("operator.agekey is missing"), "{error}");
    }

    #[test]
    fn nobody_to_encrypt_to_is_an_error() {
        let fleet = fleet();
        std::fs::remove_file(fleet.dir.join("operators/alice.pub")).unwrap();
        let error = Vault::open(&fleet.dir).unwrap().put("acme", "K", &secret("v")).unwrap_err();
        assert!(format!("{error:?}").contains("operators/NAME.pub"), "{error:?}");
        assert!(!fleet.dir.join("secrets").exists());
    }

    #[test]
    fn a_damaged_file_is_an_error_and_not_a_value() {
        let fleet = fleet();
        let vault = Vault::open(&fleet.dir).unwrap();
        vault.put("acme", "K", &secret("value")).unwrap();
        let path = fleet.dir.join("secrets/acme/K.age");
        let whole = std::fs::read(&path).unwrap();
        // The file's last line end is no part of what it says.
        let end = whole.trim_ascii_end().len();
        for cut in (0..end).step_by(17).chain(end - 20..end) {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert!(vault.get("acme", "K").is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn the_age_command_reads_ours_and_we_read_its() {
        let fleet = fleet();
        let vault = Vault::open(&fleet.dir).unwrap();
        vault.put("acme", "K", &secret("from stead")).unwrap();
        let age = |args: &[&str], input: &[u8]| {
            let mut child = Command::new("age")
                .args(args)
                .current_dir(&fleet.dir)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("age is installed (apt-get install age)");
            child.stdin.take().unwrap().write_all(input).unwrap();
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success());
            output.stdout
        };
        assert_eq!(age(&["-d", "-i", ".stead/keys/operator.agekey", "secrets/acme/K.age"], b""), b"from stead");
        age(&["-e", "-a", "-R", "operators/alice.pub", "-o", "secrets/acme/L.age"], b"from age");
        assert_eq!(vault.get("acme", "L").unwrap().unwrap().expose(), b"from age");
    }

    proptest! {
        #[test]
        fn names_never_lead_out_of_the_vault(workspace in ".{0,20}", name in ".{0,20}") {
            let vault = Vault { folder: "v".into(), operators: Operators::read("/nonexistent".into()).unwrap(), key_path: "k".into() };
            if let Ok(path) = vault.path(&workspace, &name) {
                prop_assert_eq!(path.components().count(), 3);
                prop_assert!(!path.as_str().contains(".."));
            }
        }
    }
}
