//! What an image is: `images/NAME/image.yaml`, as its author wrote it.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use serde::Serialize;

use super::{disk, rootfs};
use crate::error::Context;
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
    /// The images that this one starts from, the first one first: their packages, overlays and playbooks come before its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<String>,
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
        Self::load_for(files, name, &mut Vec::new())
    }

    /// Loads an image that those in `above` start from, each from the next.
    fn load_for(files: &FileSet, name: &str, above: &mut Vec<String>) -> Result<Self> {
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
        let own = diagnostics.into_result(read)?;
        let Some(Placed { value: from, place }) = &own.from else { return own.over(None) };
        above.push(name.to_owned());
        if above.contains(from) {
            let circle = above.iter().chain([from]).map(String::as_str).collect::<Vec<_>>().join(" from ");
            return Err(Error::input(format!("{place}: images start from each other: {circle}"))
                .hint("one of them must start from no other"));
        }
        let base = Self::load_for(files, from, above).with_context(|| format!("{place}: `from: {from}`"))?;
        own.over(Some(base))
    }
}

/// A value with its place (`FILE:LINE:COLUMN`).
struct Placed<T> {
    value: T,
    place: String,
}

/// What an image's own file says.
struct Own {
    name: String,
    from: Option<Placed<String>>,
    suite: Option<Placed<Suite>>,
    arch: Option<Placed<String>>,
    packages: Vec<String>,
    playbooks: Vec<String>,
    mirror: Option<Mirror>,
    disk: Option<Disk>,
    hardening: Option<Hardening>,
    places: BTreeMap<String, String>,
}

impl Own {
    /// The whole definition: packages and playbooks after the base's, and what it leaves out as the base has it.
    fn over(self, base: Option<Definition>) -> Result<Definition> {
        let Some(base) = base else {
            return Ok(Definition {
                name: self.name,
                suite: self.suite.map_or(Suite::Trixie, |suite| suite.value),
                arch: self.arch.map_or_else(|| "amd64".to_owned(), |arch| arch.value),
                packages: self.packages,
                playbooks: self.playbooks,
                bases: Vec::new(),
                mirror: self.mirror,
                disk: self.disk,
                hardening: self.hardening,
                bare: false,
                places: self.places,
            });
        };
        let other = |place: &str, what: &str, own: &str, bases: &str| {
            Err(Error::input(format!("{place}: the {what} is {own}, and that of {:?} is {bases}", base.name))
                .hint(format!("leave `{what}` out: an image has that of the one it starts from")))
        };
        if let Some(Placed { value, place }) = self.suite.as_ref().filter(|suite| suite.value != base.suite) {
            return other(place, "suite", value.name(), base.suite.name());
        }
        if let Some(Placed { value, place }) = self.arch.as_ref().filter(|arch| arch.value != base.arch) {
            return other(place, "arch", value, &base.arch);
        }
        let after = |mut first: Vec<String>, then: Vec<String>| {
            for name in then {
                // Named by both, it is the base's.
                if !first.contains(&name) {
                    first.push(name);
                }
            }
            first
        };
        Ok(Definition {
            name: self.name,
            packages: after(base.packages, self.packages),
            playbooks: after(base.playbooks, self.playbooks),
            bases: after(base.bases, vec![base.name]),
            mirror: self.mirror.or(base.mirror),
            disk: self.disk.or(base.disk),
            hardening: self.hardening.or(base.hardening),
            places: base.places.into_iter().chain(self.places).collect(),
            suite: base.suite,
            arch: base.arch,
            bare: false,
        })
    }
}

fn read(field: Field<'_>, folder: &str, files: &FileSet) -> Option<Own> {
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
    let from = map.optional("from").map(|field| {
        let name = field.string()?;
        if files.get(Utf8Path::new(&format!("{}/image.yaml", Definition::folder(&name)))).is_none() {
            field.unknown("image", files.images());
            return None;
        }
        placed(&field, Some(name))
    });
    let suite = map.optional("suite").map(|field| placed(&field, field.one_of(&SUITES)));
    let arch = map
        .optional("arch")
        .map(|field| placed(&field, field.one_of(&[("amd64", "amd64".to_owned()), ("arm64", "arm64".to_owned())])));
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
    Some(Own {
        name: name?,
        from: flatten(from)?,
        suite: flatten(suite)?,
        arch: flatten(arch)?,
        packages: packages?,
        playbooks: playbooks?,
        mirror: flatten(mirror)?,
        disk: flatten(disk)?,
        hardening: flatten(hardening)?,
        places,
    })
}

fn placed<T>(field: &Field<'_>, value: Option<T>) -> Option<Placed<T>> {
    Some(Placed { value: value?, place: field.span().to_string() })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::files::File;

    fn load(images: &[(&str, &str)], name: &str) -> Result<Definition> {
        let file = |(name, text): &(&str, &str)| {
            let content = format!("name: {name}\n{text}").into_bytes().into();
            (format!("images/{name}/image.yaml").into(), File { content, executable: false })
        };
        Definition::load(&FileSet::with_shipped(images.iter().map(file)), name)
    }

    #[test]
    fn an_image_adds_to_the_one_that_it_starts_from() {
        let base = "suite: bookworm\npackages: [aide, vim]\nplaybooks: [base]\ndisk: {size: 3GiB}\n";
        let middle = "from: base\npackages: [vim, zsh]\nplaybooks: [hardening]\n";
        let images = [("base", base), ("middle", middle), ("top", "from: middle\ndisk: {size: 5GiB}\n")];
        let top = load(&images, "top").unwrap();
        assert_eq!(top.packages, ["aide", "vim", "zsh"]);
        assert_eq!(top.playbooks, ["base", "hardening"]);
        assert_eq!(top.bases, ["base", "middle"]);
        assert_eq!((top.suite, top.name.as_str()), (Suite::Bookworm, "top"));
        assert_eq!(top.disk.unwrap().size, 5 << 30);
        assert_eq!(load(&images, "middle").unwrap().disk.unwrap().size, 3 << 30);
    }

    #[test]
    fn what_cannot_be_a_base_is_told_with_its_place() {
        let error = |images: &[(&str, &str)]| format!("{:?}", load(images, "a").unwrap_err());
        let circle = error(&[("a", "from: b\n"), ("b", "from: a\n")]);
        assert!(circle.contains("images/b/image.yaml:2:7") && circle.contains("a from b from a"), "{circle}");
        let suite = error(&[("a", "from: b\nsuite: trixie\n"), ("b", "suite: bookworm\n")]);
        assert!(
            suite.contains("images/a/image.yaml:3:8: the suite is trixie, and that of \"b\" is bookworm"),
            "{suite}"
        );
        let unknown = error(&[("a", "from: agent-nod\n")]);
        assert!(unknown.contains("agent-node"), "{unknown}");
    }
}
