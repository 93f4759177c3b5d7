//! The lock: which packages an image is made of, to the byte.
//!
//! `images/NAME/lock.ARCH.json` lies beside the definition in the fleet's folder and belongs into its repository. A build
//! takes packages from nowhere else.

mod apt;
pub mod changes;
pub mod resolve;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::definition::Definition;
use crate::clock::Timestamp;
use crate::fleet::FileSet;
use crate::{Error, Result};

/// The version of the file's form that this program writes.
const FORM: u32 = 1;

/// A lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The version of the file's form.
    pub form: u32,
    /// Debian's code name.
    pub suite: String,
    /// Debian's name of the architecture.
    pub arch: String,
    /// When the archives were last changed, as their newest signed index says. The image's files carry no later time.
    pub date: Timestamp,
    /// What was asked for, sorted: the definition's packages and those that every image has.
    pub requested: Vec<String>,
    /// All that is installed, sorted by name.
    pub packages: Vec<Locked>,
}

/// One package of a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The architecture it was built for; `all` where that does not matter.
    pub arch: String,
    /// SHA-256 of the .deb file, in hexadecimal digits.
    pub sha256: String,
    /// The .deb file's size in bytes.
    pub size: u64,
    /// Which archive has it.
    pub archive: Archive,
    /// The .deb file's path in that archive.
    pub path: String,
}

/// One of the archives that an image is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Archive {
    /// Debian's own, with its updates.
    Debian,
    /// The security archive.
    Security,
}

impl Lock {
    /// Where the lock of an image lies in a fleet.
    pub fn path(image: &str, arch: &str) -> Utf8PathBuf {
        Utf8PathBuf::from(Definition::folder(image)).join(format!("lock.{arch}.json"))
    }

    /// Loads the lock of a definition, and checks that it is that definition's. `None` where there is none.
    ///
    /// # Errors
    /// Fails where the file cannot be understood, or was made for something else than what is declared now.
    pub fn find(files: &FileSet, definition: &Definition) -> Result<Option<Self>> {
        let path = Self::path(&definition.name, &definition.arch);
        let Some(bytes) = files.get(&path) else { return Ok(None) };
        let lock = Self::parse(&path, bytes)?;
        lock.check(&path, definition)?;
        Ok(Some(lock))
    }

    /// As [`Lock::find`].
    ///
    /// # Errors
    /// Also where there is none.
    pub fn load(files: &FileSet, definition: &Definition) -> Result<Self> {
        Self::find(files, definition)?.ok_or_else(|| {
            let Definition { name, arch, .. } = definition;
            Error::input(format!("the image {name:?} has no lock: there is no {}", Self::path(name, arch)))
                .hint(format!("`stead image lock {name}` writes it; commit it with the definition"))
        })
    }

    /// Parses a lock.
    ///
    /// # Errors
    /// Fails with the place where it cannot be understood.
    pub fn parse(path: &Utf8Path, bytes: &[u8]) -> Result<Self> {
        let image = path.parent().and_then(Utf8Path::file_name).unwrap_or("NAME").to_owned();
        let broken = |message: String| {
            Error::input(message).hint(format!(
                "take it from version control again, or make it anew: `stead image lock {image} --update`"
            ))
        };
        // What a newer program wrote is told as that, not as an unknown field.
        #[derive(Deserialize)]
        struct Form {
            form: u32,
        }
        if let Ok(Form { form }) = serde_json::from_slice::<Form>(bytes)
            && form > FORM
        {
            return Err(Error::input(format!("{path} was written by a newer stead (form {form})"))
                .hint("run that one, or make the lock anew with this one"));
        }
        let lock: Self = serde_json::from_slice(bytes)
            .map_err(|error| broken(format!("{path}:{}:{}: {error}", error.line(), error.column())))?;
        for package in &lock.packages {
            package.check().map_err(|what| broken(format!("{path}: package {:?}: {what}", package.name)))?;
        }
        Ok(lock)
    }

    /// The file's text.
    ///
    /// # Errors
    /// Fails only where memory does.
    pub fn to_json(&self) -> Result<String> {
        let json =
            serde_json::to_string_pretty(self).map_err(|error| Error::failed("writing a lock").because(error))?;
        Ok(json + "\n")
    }

    /// Whether it is the lock of what is declared.
    fn check(&self, path: &Utf8Path, definition: &Definition) -> Result<()> {
        let Definition { name, .. } = definition;
        let other = |message: String| {
            Err(Error::input(message).hint(format!("`stead image lock {name}` brings the lock up to the definition")))
        };
        if self.arch != definition.arch {
            return other(format!("{path} was made for {}, and the image is for {}", self.arch, definition.arch));
        }
        if self.suite != definition.suite.name() {
            return other(format!(
                "{path} was made for {}, and the image is of {}",
                self.suite,
                definition.suite.name()
            ));
        }
        let requested = definition.requested();
        let more: Vec<&str> =
            requested.iter().filter(|name| !self.requested.contains(name)).map(String::as_str).collect();
        let less: Vec<&str> =
            self.requested.iter().filter(|name| !requested.contains(name)).map(String::as_str).collect();
        match (more.is_empty(), less.is_empty()) {
            (true, true) => Ok(()),
            (false, _) => {
                other(format!("the definition asks for packages that {path} does not have: {}", more.join(", ")))
            }
            (true, false) => {
                other(format!("{path} has packages that the definition does not ask for any more: {}", less.join(", ")))
            }
        }
    }

    /// A lock of one package, for tests.
    #[cfg(test)]
    pub(crate) fn sample() -> Self {
        let netbase = Locked {
            name: "netbase".into(),
            version: "6.5".into(),
            arch: "all".into(),
            sha256: "0".repeat(64),
            size: 1,
            archive: Archive::Debian,
            path: "pool/main/n/netbase/netbase_6.5_all.deb".into(),
        };
        Self {
            form: FORM,
            suite: "trixie".into(),
            arch: "amd64".into(),
            date: Timestamp::default(),
            requested: vec!["netbase".into()],
            packages: vec![netbase],
        }
    }

    /// The sum of the .deb files' sizes, in bytes.
    pub fn size(&self) -> u64 {
        self.packages.iter().map(|package| package.size).sum()
    }
}

impl Locked {
    /// The name of its .deb file in the local store's index: legal in a URL as it is.
    pub fn file_name(&self) -> String {
        format!("{}.deb", self.sha256)
    }

    /// Paths and hashes end up in commands and file names: nothing but what Debian's rules allow.
    fn check(&self) -> Result<(), &'static str> {
        let plain = |text: &str, more: &[u8]| {
            !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || more.contains(&c))
        };
        if !plain(&self.name, b"+-.") || self.name.starts_with('-') {
            return Err("this is not a package's name");
        }
        if !plain(&self.version, b"+-.:~") || self.version.starts_with('-') {
            return Err("its version is not one (Debian Policy 5.6.12)");
        }
        if !plain(&self.arch, b"-") {
            return Err("its architecture is not one");
        }
        if self.sha256.len() != 64 || !self.sha256.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')) {
            return Err("its sha256 is not 64 hexadecimal digits");
        }
        if !plain(&self.path, b"+-./_~:%")
            || self.path.split('/').any(|part| part == "..")
            || self.path.starts_with('/')
        {
            return Err("its path does not lead into an archive");
        }
        Ok(())
    }
}
