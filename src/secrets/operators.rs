//! Who may open the vault: one file per operator in the fleet's folder, `operators/NAME.pub`.
//!
//! A file holds age recipients (`age1…`), one a line, with comments after `#`: the format of `age --recipients-file`.
//! The files are public and belong in the fleet's repository, so that anyone with it can encrypt for every operator.

use age::x25519::Recipient;
use camino::{Utf8Path, Utf8PathBuf};

use crate::error::Context;
use crate::{Error, Result, atomic_file, ownership};

/// The fleet's operators.
pub struct Operators {
    folder: Utf8PathBuf,
    operators: Vec<Operator>,
}

/// A person who may open the vault.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Operator {
    /// The file's name without its extension.
    pub name: String,
    /// Their recipients (`age1…`).
    pub recipients: Vec<String>,
}

impl Operators {
    /// Reads the operators of a fleet, sorted by name. A fleet without the folder has none.
    ///
    /// # Errors
    /// Fails where a file cannot be read or holds anything else than X25519 recipients.
    pub fn read(fleet_dir: &Utf8Path) -> Result<Self> {
        let folder = fleet_dir.join("operators");
        let mut operators = Vec::new();
        if folder.is_dir() {
            for entry in folder.read_dir_utf8().with_context(|| format!("reading {folder}"))? {
                let path = entry.with_context(|| format!("reading {folder}"))?.into_path();
                if let (Some("pub"), Some(name)) = (path.extension(), path.file_stem()) {
                    operators.push(Operator { name: name.to_owned(), recipients: read_file(&path)? });
                }
            }
        }
        operators.sort();
        Ok(Self { folder, operators })
    }

    /// The operators, sorted by name.
    pub fn list(&self) -> &[Operator] {
        &self.operators
    }

    /// Adds an operator, or replaces their recipient. Values that are in the vault already stay closed to them until
    /// they are encrypted anew.
    ///
    /// # Errors
    /// Fails where the name is none for a file, the recipient is none of age's, or the file cannot be written.
    pub fn add(&mut self, name: &str, recipient: &str) -> Result<()> {
        let legal = (1..=64).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c));
        if !legal {
            return Err(Error::input(format!("{name:?} is not a name for an operator")).hint(
                "an operator's name has 1 to 64 letters, digits, `.`, `_` and `-`, and begins with a letter or digit",
            ));
        }
        parse(recipient)?;
        std::fs::create_dir_all(&self.folder).with_context(|| format!("making {}", self.folder))?;
        let path = self.folder.join(format!("{name}.pub"));
        atomic_file::write(&path, format!("{recipient}\n").as_bytes(), 0o644)?;
        ownership::inherit(&self.folder)?;
        ownership::inherit(&path)?;
        self.operators.retain(|operator| operator.name != name);
        self.operators.push(Operator { name: name.to_owned(), recipients: vec![recipient.to_owned()] });
        self.operators.sort();
        Ok(())
    }

    /// Everybody's recipients.
    ///
    /// # Errors
    /// Fails where the fleet has no operator, since nobody could read what is encrypted to none.
    pub(super) fn recipients(&self) -> Result<Vec<Recipient>> {
        let recipients: Vec<_> = self
            .operators
            .iter()
            .flat_map(|operator| &operator.recipients)
            .map(|recipient| parse(recipient))
            .collect::<Result<_>>()?;
        if recipients.is_empty() {
            return Err(Error::input(format!("the fleet has no operator: {} holds no NAME.pub", self.folder))
                .hint("put the operator's age recipient (age1…) into operators/NAME.pub"));
        }
        Ok(recipients)
    }

    /// Names and recipients in one line, for errors.
    pub(super) fn describe(&self) -> String {
        let each = |operator: &Operator| format!("{} ({})", operator.name, operator.recipients.join(", "));
        self.operators.iter().map(each).collect::<Vec<_>>().join(", ")
    }
}

fn read_file(path: &Utf8Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    text.lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            parse(line)
                .map(|_| line.to_owned())
                .with_context(|| format!("{path}:{number}: not an operator's recipient"))
        })
        .collect()
}

fn parse(recipient: &str) -> Result<Recipient> {
    recipient.parse().map_err(|reason: &str| {
        Error::input(format!("{recipient:?} is not an age recipient: {reason}"))
            .hint("a recipient begins with age1; `age-keygen -y FILE` prints the one of an identity file")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    #[test]
    fn added_operators_are_read_back_and_broken_files_are_named_by_line() {
        let guard = tempfile::tempdir().unwrap();
        let dir = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
        let mut operators = Operators::read(&dir).unwrap();
        assert!(operators.recipients().is_err(), "nobody yet");
        operators.add("bob", RECIPIENT).unwrap();
        operators.add("alice", RECIPIENT).unwrap();
        operators.add("bob", RECIPIENT).unwrap();
        let names = |operators: &Operators| operators.list().iter().map(|o| o.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&operators), ["alice", "bob"]);
        assert_eq!(names(&Operators::read(&dir).unwrap()), ["alice", "bob"]);
        for (name, recipient) in [("../x", RECIPIENT), ("", RECIPIENT), (".x", RECIPIENT), ("eve", "age1nonsense")] {
            assert!(operators.add(name, recipient).is_err(), "{name:?}");
        }
        std::fs::write(dir.join("operators/bob.pub"), format!("# Bob\n{RECIPIENT}\nssh-rsa AAAA\n")).unwrap();
        let error = Operators::read(&dir).map(|_| ()).unwrap_err();
        assert!(error.to_string().ends_with("operators/bob.pub:3: not an operator's recipient"), "{error}");
    }
}
