//! What the two forms of the bill of materials ([`spdx`](super::spdx), [`cyclonedx`](super::cyclonedx)) have in common.

use std::collections::BTreeMap;

use chrono::SecondsFormat;
use sha2::{Digest, Sha256};

use super::{Artefact, Package};
use crate::clock::Timestamp;
use crate::image::definition::Suite;

/// The image that a bill of materials is of.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The image's name.
    pub name: &'a str,
    /// The image's key, its version; documents' ids are derived from it.
    pub key: &'a str,
    /// The Debian release.
    pub suite: Suite,
    /// The time that the documents bear (`SOURCE_DATE_EPOCH`).
    pub created: Timestamp,
    /// Its packages, in the order of [`packages`](super::package::packages).
    pub packages: &'a [Package],
    /// `usr/share/doc/PACKAGE/copyright`, by package; of one that is missing, no licence is told.
    pub copyrights: &'a BTreeMap<String, String>,
    /// What was made of the image, by name.
    pub artefacts: &'a BTreeMap<String, Artefact>,
}

impl Subject<'_> {
    /// A UUID for a document of this image (RFC 9562, version 8: of our own making).
    pub(super) fn uuid(&self, document: &str) -> uuid::Uuid {
        // Neither a kind of document nor a name holds a NUL: the parts cannot run into one another.
        let digest = Sha256::digest(format!("stead\0{document}\0{}\0{}", self.name, self.key));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}

/// A time as both forms want it: RFC 3339, to the second, in UTC.
pub(super) fn time(time: Timestamp) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A maintainer's name and address, from `Name <address>`. What some packages have there instead (a web page) is left out.
pub(super) fn contact(maintainer: &str) -> (&str, Option<&str>) {
    match maintainer.rsplit_once('<') {
        Some((name, address)) => {
            (name.trim(), address.trim().strip_suffix('>').filter(|address| address.contains('@')))
        }
        None => (maintainer.trim(), None),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::image::record::{licence, package};

    /// An image of a few packages, with all that can be known of one.
    pub(in crate::image::record) fn with_subject(some: &[&str], test: impl FnOnce(&Subject<'_>)) {
        let mut packages = package::packages(package::tests::STATUS);
        packages.retain(|package| some.is_empty() || some.contains(&package.name.as_str()));
        let artefacts = ["disk.qcow2", "root.squashfs"];
        let artefacts = artefacts.map(|name| (name.to_owned(), Artefact { sha256: "ab".repeat(32), size: 1 << 30 }));
        test(&Subject {
            name: "base",
            key: "0123456789abcdef0123456789abcdef01234567",
            suite: Suite::Bookworm,
            created: Timestamp::from_timestamp(1_760_000_000, 0).unwrap(),
            packages: &packages,
            copyrights: &BTreeMap::from([("tar".to_owned(), licence::tests::COPYRIGHT.to_owned())]),
            artefacts: &BTreeMap::from(artefacts),
        });
    }

    #[test]
    fn ids_come_from_document_image_and_key() {
        with_subject(&[], |subject| {
            let id = subject.uuid("spdx");
            assert_eq!((id, id.get_version_num()), (subject.uuid("spdx"), 8));
            assert_ne!(id, subject.uuid("cyclonedx"));
            assert_ne!(id, Subject { key: "1", ..*subject }.uuid("spdx"));
            assert_ne!(id, Subject { name: "other", ..*subject }.uuid("spdx"));
        });
    }

    #[test]
    fn maintainers_have_names_and_perhaps_addresses() {
        assert_eq!(contact("A B <a@example.org>"), ("A B", Some("a@example.org")));
        assert_eq!(contact("A B"), ("A B", None));
        assert_eq!(contact("A <b@c"), ("A", None));
        assert_eq!(contact("A <https://example.org/>"), ("A", None));
    }
}
