//! The bill of materials in SPDX 2.3, as JSON (<https://spdx.github.io/spdx-spec/v2.3/>).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::licence::{self, idstring};
use super::sbom::{Subject, contact, time};
use super::{Package, purl};

/// The id of the image among the document's packages.
const IMAGE: &str = "SPDXRef-Image";
/// What SPDX wants where nothing is claimed.
const NOTHING: &str = "NOASSERTION";

/// The bill of materials of an image.
pub fn document(subject: &Subject<'_>) -> Value {
    let mut packages = vec![json!({
        "SPDXID": IMAGE,
        "name": subject.name,
        "versionInfo": subject.key,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        "downloadLocation": NOTHING,
        "filesAnalyzed": false,
    })];
    let mut relationships = vec![relationship("SPDXRef-DOCUMENT", "DESCRIBES", IMAGE)];
    for (name, artefact) in subject.artefacts {
        let id = format!("SPDXRef-Artefact-{}", idstring(name));
        relationships.push(relationship(&id, "GENERATED_FROM", IMAGE));
        packages.push(json!({
            "SPDXID": id,
            "name": name,
            "packageFileName": name,
            "versionInfo": subject.key,
            "primaryPackagePurpose": "FILE",
            "checksums": [{"algorithm": "SHA256", "checksumValue": artefact.sha256}],
            "downloadLocation": NOTHING,
            "filesAnalyzed": false,
        }));
    }
    let mut references = BTreeMap::new();
    for package in subject.packages {
        let id = format!("SPDXRef-Package-{}-{}", idstring(&package.name), idstring(&package.architecture));
        relationships.push(relationship(IMAGE, "CONTAINS", &id));
        packages.push(describe(package, id, subject, &mut references));
    }
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": subject.name,
        "documentNamespace": format!("urn:uuid:{}", subject.uuid("spdx")),
        "creationInfo": {"created": time(subject.created), "creators": [format!("Tool: stead-{}", crate::VERSION)]},
        "packages": packages,
        "relationships": relationships,
    });
    if !references.is_empty() {
        document["hasExtractedLicensingInfos"] = references.into_values().collect();
    }
    document
}

fn describe(package: &Package, id: String, subject: &Subject<'_>, references: &mut BTreeMap<String, Value>) -> Value {
    let copyright = subject.copyrights.get(&package.name);
    let declared = copyright.and_then(|text| licence::declared(&package.name, text)).map(|declared| {
        for (id, name) in declared.references {
            let text =
                format!("What usr/share/doc/{}/copyright in the image calls the licence {name:?}.", package.name);
            references.insert(id.clone(), json!({"licenseId": id, "name": name, "extractedText": text}));
        }
        declared.expression
    });
    json!({
        "SPDXID": id,
        "name": package.name,
        "versionInfo": package.version,
        "supplier": supplier(&package.maintainer),
        "sourceInfo": format!("built from the source package {} {}", package.source, package.source_version),
        "downloadLocation": NOTHING,
        "filesAnalyzed": false,
        "licenseConcluded": NOTHING,
        "licenseDeclared": declared.as_deref().unwrap_or(NOTHING),
        "copyrightText": NOTHING,
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": purl::purl(package, subject.suite),
        }],
    })
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}

/// SPDX wants people and organisations told apart, and Debian does not: who is reached by a list is taken for a team.
fn supplier(maintainer: &str) -> String {
    let (name, address) = contact(maintainer);
    if name.is_empty() {
        return NOTHING.to_owned();
    }
    let list =
        |address: &str| address.starts_with("team+") || ["@lists.", "@packages."].iter().any(|at| address.contains(at));
    let kind = if address.is_some_and(list) { "Organization" } else { "Person" };
    let address = address.map(|address| format!(" ({address})")).unwrap_or_default();
    format!("{kind}: {name}{address}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::image::record::{sbom, to_text};

    #[test]
    fn a_document() {
        sbom::tests::with_subject(&["libstdc++6", "tar"], |subject| {
            insta::assert_snapshot!(to_text(&document(subject)))
        });
    }

    #[test]
    fn ids_are_legal_and_what_is_related_is_there() {
        sbom::tests::with_subject(&[], |subject| {
            let document = document(subject);
            let packages = document["packages"].as_array().unwrap();
            let ids: BTreeSet<_> = packages.iter().map(|package| package["SPDXID"].as_str().unwrap()).collect();
            assert_eq!((ids.len(), packages.len()), (14, 14));
            for id in &ids {
                let rest = id.strip_prefix("SPDXRef-").unwrap();
                assert!(rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)), "{id}");
            }
            let relationships = document["relationships"].as_array().unwrap();
            assert_eq!(relationships.len(), packages.len());
            for relationship in relationships {
                assert!(ids.contains(relationship["relatedSpdxElement"].as_str().unwrap()), "{relationship}");
            }
        });
    }

    #[test]
    fn teams_are_organisations() {
        assert_eq!(supplier("X <x@lists.debian.org>"), "Organization: X (x@lists.debian.org)");
        assert_eq!(supplier("J C <jc@debian.org>"), "Person: J C (jc@debian.org)");
        assert_eq!(supplier(""), NOTHING);
    }
}
