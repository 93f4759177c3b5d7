//! The known vulnerabilities of an image's packages, by Debian's security tracker
//! (<https://security-tracker.debian.org/tracker/data/json>).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{BufReader, Read};

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::{Package, version};
use crate::{Error, Result};

/// A vulnerability that the image has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Vulnerability {
    /// The source package.
    pub source: String,
    /// The vulnerability's id: `CVE-2024-6387`, or the tracker's own `TEMP-…`.
    pub cve: String,
    /// The source package's version in the image.
    pub version: String,
    /// Whether something can be done about it.
    pub status: Status,
    /// How much it matters to Debian: `unimportant`, `low`, `medium`, `high`, `not yet assigned`, `end-of-life`.
    pub urgency: String,
    /// What it is, in a sentence or more; empty where nobody has said.
    pub description: String,
}

/// What Debian has done about a vulnerability.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The release has no fixed version yet.
    Open,
    /// The release has it fixed from this version on, and the image has an earlier one.
    Fixed(String),
    /// Nobody knows yet whether the release is affected.
    Undetermined,
}

/// Looks up the packages of a release (`trixie`) in the tracker's data. Of that, which is large, only what concerns these
/// packages is held in memory. The vulnerabilities come by source package and id.
///
/// # Errors
/// Fails where the data cannot be read or is something else.
pub fn find(tracker: impl Read, suite: &str, packages: &[Package]) -> Result<Vec<Vulnerability>> {
    let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        let (source, version) = tracked(package);
        wanted.entry(source).or_default().insert(version);
    }
    let mut found = Vec::new();
    let mut input = serde_json::Deserializer::from_reader(BufReader::with_capacity(1 << 16, tracker));
    Sources { suite, wanted: &wanted, found: &mut found }.deserialize(&mut input).and_then(|()| input.end()).map_err(
        |error| {
            Error::failed("reading the data of Debian's security tracker")
                .because(error)
                .hint("fetch https://security-tracker.debian.org/tracker/data/json again; it may have ended early")
        },
    )?;
    found.sort();
    Ok(found)
}

/// The name and version under which the tracker knows a package's source. A signed kernel has a source of its own
/// (`linux-signed-amd64 6.12.48+1`), which the tracker does not know; the package's own version is the kernel's.
fn tracked(package: &Package) -> (&str, &str) {
    if package.source.starts_with("linux-signed-") {
        return ("linux", &package.version);
    }
    (&package.source, &package.source_version)
}

/// One vulnerability of one source package, as the tracker has it.
#[derive(Deserialize)]
struct Issue {
    #[serde(default)]
    description: String,
    #[serde(default)]
    releases: BTreeMap<String, Release>,
}

#[derive(Deserialize)]
struct Release {
    status: String,
    fixed_version: Option<String>,
    #[serde(default)]
    urgency: String,
}

/// All of the tracker's source packages; what is not wanted is passed over as it is read.
struct Sources<'a> {
    suite: &'a str,
    wanted: &'a BTreeMap<&'a str, BTreeSet<&'a str>>,
    found: &'a mut Vec<Vulnerability>,
}

impl<'de> DeserializeSeed<'de> for Sources<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Sources<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("source packages by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(source) = map.next_key::<String>()? {
            match self.wanted.get(source.as_str()) {
                Some(versions) => {
                    map.next_value_seed(Issues { suite: self.suite, source, versions, found: &mut *self.found })?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// The vulnerabilities of one source package, one at a time.
struct Issues<'a> {
    suite: &'a str,
    source: String,
    versions: &'a BTreeSet<&'a str>,
    found: &'a mut Vec<Vulnerability>,
}

impl<'de> DeserializeSeed<'de> for Issues<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Issues<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a source package's vulnerabilities by id")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((cve, mut issue)) = map.next_entry::<String, Issue>()? {
            let Some(release) = issue.releases.remove(self.suite) else { continue };
            for own in self.versions {
                let Some(status) = judge(&release, own).map_err(A::Error::custom)? else { continue };
                self.found.push(Vulnerability {
                    source: self.source.clone(),
                    cve: cve.clone(),
                    version: (*own).to_owned(),
                    status,
                    urgency: release.urgency.clone(),
                    description: issue.description.clone(),
                });
            }
        }
        Ok(())
    }
}

/// What a release's entry means for a version; `None` where that is not affected. A release that never was has `0` as
/// the version that fixed it.
fn judge(release: &Release, own: &str) -> Result<Option<Status>, String> {
    match (release.status.as_str(), &release.fixed_version) {
        ("open", _) => Ok(Some(Status::Open)),
        ("undetermined", _) => Ok(Some(Status::Undetermined)),
        ("resolved", Some(fixed)) => Ok(version::compare(own, fixed).is_lt().then(|| Status::Fixed(fixed.clone()))),
        // Resolved without a version: it was withdrawn.
        ("resolved", None) => Ok(None),
        (other, _) => Err(format!("a vulnerability's status is {other:?}, which this program does not know")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::image::record::package;

    const TRACKER: &str = include_str!("../../../tests/data/record/tracker.json");

    #[test]
    fn what_the_images_versions_have() {
        let packages = package::packages(package::tests::STATUS);
        let found = find(TRACKER.as_bytes(), "bookworm", &packages).unwrap();
        insta::assert_json_snapshot!(found);
        let cves: Vec<_> =
            find(TRACKER.as_bytes(), "trixie", &packages).unwrap().into_iter().map(|one| one.cve).collect();
        assert_eq!(cves, ["TEMP-0290435-0B57B5", "CVE-2023-45853"], "another release's entries");
        assert_eq!(find(TRACKER.as_bytes(), "bookworm", &[]).unwrap(), []);
    }

    #[test]
    fn data_that_ends_early_is_refused() {
        for text in [&TRACKER[..TRACKER.len() / 2], "[]", "{}x", "", r#"{"zlib": {"CVE-1": 1}}"#] {
            let packages = package::packages(package::tests::STATUS);
            let error = find(text.as_bytes(), "bookworm", &packages).unwrap_err();
            assert!(!error.hints().is_empty(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(\\{|\\}|\"tar\"|\"CVE-1\"|\"releases\"|\"status\"|\"open\"|:|,|[a-z]){0,40}") {
            let packages = package::packages(package::tests::STATUS);
            let _ = find(text.as_bytes(), "bookworm", &packages);
        }
    }
}
