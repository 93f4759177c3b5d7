//! What an image is: `images/NAME/image.yaml`, as its author wrote it.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use serde::Serialize;

use super::{disk, rootfs};

use crate::fleet::scalar::Bytes;
use crate::fleet::{Diagnostics, Field, FileSet, Source, yaml};
use crate::{Error, Result};

/// Debian's releases that images are made of, oldest first.
pub const SUITES: [(&str, Suite); 2] = [("bookworm", Suite::Bookworm), ("trixie", Suite::Trixie)];

/// A Debian release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Suite {
    /// Debian 12.
    Bookworm,
    /// Debian 13.
    Trixie,
}

impl Suite {
    /// Debian's code name.
    pub fn name(self) -> &'static str {
        match self {
            Suite::Bookworm => "bookworm",
            Suite::Trixie => "trixie",
        }
    }
}

/// An image's definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Definition {
    /// The image's name, which is also its folder's.
    pub name: String,
    /// The Debian release.
    pub suite: Suite,
    /// Debian's name of the architecture.
    pub arch: String,
    /// Packages beside those that every image has.
    pub packages: Vec<String>,
    /// Playbooks applied inside the root, in this order.
    pub playbooks: Vec<String>,
    /// The archives to take packages from, instead of the host's.
    pub mirror: Option<Mirror>,
    /// The bootable disk, for providers that take one.
    pub disk: Option<Disk>,
    /// The hardening profile and the audits' least scores.
    pub hardening: Option<Hardening>,
    /// Only these packages and what they depend on, as for a folder of tools; else a whole system.
    #[serde(skip)]
    pub bare: bool,
    /// Where the definition names each package (`FILE:LINE:COLUMN`), for errors.
    #[serde(skip)]
    pub places: BTreeMap<String, String>,
}

/// Archives named by the definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mirror {
    /// Debian's archive.
    pub archive: String,
    /// The security archive.
    pub security: String,
}

/// The bootable disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// The disk's size in bytes.
    pub size: u64,
    /// What it boots from: `bios`, `uefi`.
    pub firmware: Vec<String>,
    /// `qcow2` or `raw`.
    pub format: String,
}

/// What the finished image must score.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hardening {
    /// The profile's name.
    pub profile: String,
    /// The least Lynis index, if one is asked for.
    pub lynis: Option<u64>,
}

impl Definition {
    /// Every package asked for, sorted: the definition's, and those that every image has.
    pub fn requested(&self) -> Vec<String> {
        let mut packages: BTreeSet<&str> = self.packages.iter().map(String::as_str).collect();
        if !self.bare {
            packages.extend(rootfs::PACKAGES);
        }
        if self.disk.is_some() {
            packages.extend(disk::packages(self.suite, &self.arch, &packages));
        }
        packages.into_iter().map(str::to_owned).collect()
    }

    /// Where the image's folder lies in a fleet.
    pub fn folder(name: &str) -> String {
        format!("images/{name}")
    }

    /// Loads the definition of the image `name`.
    ///
    /// # Errors
    /// Fails with every mistake in the file, with places, or where no such image is defined.
    pub fn load(files: &FileSet, name: &str) -> Result<Self> {
        let path = format!("{}/image.yaml", Self::folder(name));
        let text = files.get(Utf8Path::new(&path)).ok_or_else(|| {
            Error::input(format!("no image is called {name:?}: there is no {path}"))
                .hint("`stead image list` shows those that are defined")
        })?;
        let text =
            std::str::from_utf8(text).map_err(|error| Error::input(format!("{path} is not UTF-8")).because(error))?;
        let diagnostics = Diagnostics::new();
        let node = yaml::parse(&Source::new(path, text), &diagnostics);
        let read = node.as_ref().and_then(|node| read(Field::root(node, &diagnostics), name, files));
        diagnostics.into_result(read)
    }
}

fn read(field: Field<'_>, folder: &str, files: &FileSet) -> Option<Definition> {
    let mut map = field.mapping("an image")?;
    let name = map.required("name").and_then(|field| {
        let name = field.string()?;
        if name != folder {
            field.error_hint(
                format!("this image lies in the folder {folder:?} and calls itself {name:?}"),
                "give both one name",
            );
        }
        Some(name)
    });
    let suite = map.optional("suite").map_or(Some(Suite::Trixie), |field| field.one_of(&SUITES));
    let arch = map.optional("arch").map_or(Some("amd64".to_owned()), |field| {
        field.one_of(&[("amd64", "amd64".to_owned()), ("arm64", "arm64".to_owned())])
    });
    let mut places = BTreeMap::new();
    let packages = map.optional("packages").map_or(Some(Vec::new()), |field| {
        field.list(|item| {
            let name = package(item)?;
            places.insert(name.clone(), item.span().to_string());
            Some(name)
        })
    });
    let playbooks = map.optional("playbooks").map_or(Some(Vec::new()), |field| {
        field.list(|item| {
            let name = item.string()?;
            if files.get(Utf8Path::new(&format!("playbooks/{name}.yaml"))).is_none() {
                item.unknown("playbook", files.playbooks());
            }
            Some(name)
        })
    });
    let mirror = map.optional("mirror").map(mirror);
    let disk = map.optional("disk").map(disk);
    let hardening = map.optional("hardening").map(hardening);
    map.finish();
    Some(Definition {
        name: name?,
        suite: suite?,
        arch: arch?,
        packages: packages?,
        playbooks: playbooks?,
        mirror: flatten(mirror)?,
        disk: flatten(disk)?,
        hardening: flatten(hardening)?,
        bare: false,
        places,
    })
}

/// A field that is not there is well; one that is there and wrong is not.
fn flatten<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(value) => value.map(Some),
    }
}

/// Debian policy 5.6.7: lower-case letters, digits, `+`, `-` and `.`.
fn package(field: Field<'_>) -> Option<String> {
    let name = field.string()?;
    let legal = name.len() > 1
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"+-.".contains(&c));
    if !legal {
        field.error_hint(
            format!("{name:?} is not a package's name"),
            "a name has lower-case letters, digits, +, - and .; versions belong into the lock",
        );
    }
    Some(name)
}

fn mirror(field: Field<'_>) -> Option<Mirror> {
    let mut map = field.mapping("a mirror")?;
    let archive = map.required("archive").and_then(|field| field.string());
    let security = map.required("security").and_then(|field| field.string());
    map.finish();
    Some(Mirror { archive: archive?, security: security? })
}

fn disk(field: Field<'_>) -> Option<Disk> {
    let mut map = field.mapping("a disk")?;
    let size = map.required("size").and_then(|field| field.parse::<Bytes>());
    let firmware = map.optional("firmware").map_or(Some(vec!["bios".to_owned(), "uefi".to_owned()]), |field| {
        field.list(|item| item.one_of(&[("bios", "bios".to_owned()), ("uefi", "uefi".to_owned())]))
    });
    let format = map.optional("format").map_or(Some("qcow2".to_owned()), |field| {
        field.one_of(&[("qcow2", "qcow2".to_owned()), ("raw", "raw".to_owned())])
    });
    if let (Some([]), Some(field)) = (firmware.as_deref(), map.key("firmware")) {
        field.error_hint("a disk must boot from something", "firmware: [bios, uefi]");
        return None;
    }
    map.finish();
    Some(Disk { size: size?.0, firmware: firmware?, format: format? })
}

fn hardening(field: Field<'_>) -> Option<Hardening> {
    let mut map = field.mapping("hardening")?;
    let profile = map.required("profile").and_then(|field| field.one_of(&[("server", "server".to_owned())]));
    let lynis = map.optional("minimum").and_then(|field| {
        let mut map = field.mapping("the least scores")?;
        let lynis = map.optional("lynis").and_then(|field| field.number(0..=100));
        map.finish();
        lynis
    });
    map.finish();
    Some(Hardening { profile: profile?, lynis })
}
