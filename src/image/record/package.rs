//! The packages of an image, read from dpkg's status file.

use serde::{Deserialize, Serialize};

use super::deb822::{self, Stanza};

/// An installed package.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Debian's name of its architecture, or `all`.
    pub architecture: String,
    /// The source package that it was built from.
    pub source: String,
    /// That source package's version.
    pub source_version: String,
    /// `Name <address>`.
    pub maintainer: String,
    /// The archive's section (`admin`, `libs`).
    pub section: String,
    /// What it needs, as dpkg has it: `Pre-Depends` and `Depends`.
    pub depends: String,
    /// How much it takes on disk, in KiB, as its builder estimated.
    pub installed_size: Option<u64>,
}

/// The packages that are installed, by name and architecture.
///
/// That a package is held, or selected for removal, says nothing of whether its files are there: only its state counts.
pub fn packages(status: &str) -> Vec<Package> {
    let mut packages: Vec<_> = deb822::stanzas(status).filter_map(|stanza| package(&stanza)).collect();
    packages.sort_by(|a, b| (&a.name, &a.architecture).cmp(&(&b.name, &b.architecture)));
    packages
}

fn package(stanza: &Stanza<'_>) -> Option<Package> {
    let mut status = stanza.line("Status")?.split_whitespace().skip(1);
    if (status.next(), status.next()) != (Some("ok"), Some("installed")) {
        return None;
    }
    let field = |name: &str| stanza.line(name).unwrap_or_default().to_owned();
    let (name, version) = (stanza.line("Package")?, stanza.line("Version")?);
    let (source, source_version) = match stanza.line("Source") {
        None => (name, version),
        Some(source) => match source.split_once('(') {
            None => (source, version),
            Some((source, version)) => (source.trim_end(), version.trim_end_matches(')').trim()),
        },
    };
    let depends = [stanza.folded("Pre-Depends"), stanza.folded("Depends")];
    Some(Package {
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: field("Architecture"),
        source: source.to_owned(),
        source_version: source_version.to_owned(),
        maintainer: field("Maintainer"),
        section: field("Section"),
        depends: depends.into_iter().filter(|depends| !depends.is_empty()).collect::<Vec<_>>().join(", "),
        installed_size: stanza.line("Installed-Size").and_then(|size| size.parse().ok()),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::image::record) const STATUS: &str = include_str!("../../../tests/data/record/status");

    #[test]
    fn installed_packages_with_their_sources() {
        let packages = packages(STATUS);
        assert_eq!(packages.len(), 11);
        assert!(packages.is_sorted_by_key(|package| &package.name));
        let of = |name: &str| packages.iter().find(|package| package.name == name);
        assert!(of("vim-tiny").is_none(), "only its configuration is left");
        assert!(of("linux-image-6.1.0-41-amd64").is_some(), "a held package is there");
        let source = |name: &str| of(name).map(|package| (package.source.as_str(), package.source_version.as_str()));
        assert_eq!(source("age"), Some(("age", "1.1.1-1")));
        assert_eq!(source("libc6"), Some(("glibc", "2.36-9+deb12u14")));
        assert_eq!(source("tar"), Some(("tar", "1.34+dfsg-1.2+deb12u1")));
        insta::assert_json_snapshot!(of("libstdc++6"));
    }

    proptest! {
        #[test]
        fn any_text_parses(text in "(Package|Status: install ok installed|Version|Source|[a-z(]|:| |\n|\u{e9}){0,60}") {
            packages(&text);
        }

        #[test]
        fn what_was_written_is_read(
            name in "[a-z][a-z0-9+.-]{1,20}", version in "[0-9][0-9a-z.~+-]{0,10}", source in "[a-z][a-z0-9+.-]{1,20}",
            size in 0_u64..1 << 40,
        ) {
            let text = format!(
                "Package: {name}\nStatus: install ok installed\nVersion: {version}-1+b1\nArchitecture: all\n\
                 Source: {source} ({version}-1)\nInstalled-Size: {size}\nDepends: a,\n b\n"
            );
            let [package] = &packages(&text)[..] else { panic!("{text}") };
            prop_assert_eq!(&package.name, &name);
            prop_assert_eq!(&package.version, &format!("{version}-1+b1"));
            prop_assert_eq!((&package.source, &package.source_version), (&source, &format!("{version}-1")));
            prop_assert_eq!((package.installed_size, package.depends.as_str()), (Some(size), "a, b"));
        }
    }
}
