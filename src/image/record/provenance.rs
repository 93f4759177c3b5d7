//! How an image came to be: an in-toto statement (<https://in-toto.io/Statement/v1>) with SLSA's provenance
//! (<https://slsa.dev/spec/v1.0/provenance>).
//!
//! The statement is not wrapped into an envelope of its own: its digest stands among the artefacts' ones, and those are
//! what [`sign`](super::sign) signs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::sbom::time;
use super::{Artefact, purl};
use crate::clock::Timestamp;
use crate::image::definition::Suite;
use crate::image::lock::Locked;

/// What kind of build it was; another one when the parameters come to mean something else.
const BUILD_TYPE: &str = "urn:stead:image-build:v1";

/// A build of an image.
#[derive(Debug, Clone, Copy)]
pub struct Build<'a> {
    /// The image's name.
    pub image: &'a str,
    /// The image's key.
    pub key: &'a str,
    /// The Debian release.
    pub suite: Suite,
    /// Debian's name of the architecture.
    pub arch: &'a str,
    /// The SHA-256 of the definition and the files that it names, in hexadecimal.
    pub definition: &'a str,
    /// How the builder went about it, as far as its user did not choose it.
    pub recipe: &'a Value,
    /// The packages that the lock names, in any order.
    pub packages: &'a [Locked],
    /// The SHA-256 of each program for nodes that was put in, by name.
    pub agents: &'a BTreeMap<String, String>,
    /// The SHA-256 of the lock of the build's own tools.
    pub tools: &'a str,
    /// When the build began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// What it made, by name.
    pub artefacts: &'a BTreeMap<String, Artefact>,
}

/// The statement about a build.
pub fn statement(build: &Build<'_>) -> Value {
    let mut packages: Vec<_> = build.packages.iter().collect();
    packages.sort_by_key(|package| (&package.name, &package.arch));
    let packages = packages.into_iter().map(|package| {
        let uri = purl::deb(&package.name, &package.version, &package.arch, build.suite);
        json!({"name": package.name, "uri": uri, "digest": {"sha256": package.sha256}})
    });
    let agents = build.agents.iter().map(|(name, sha256)| resource(name, sha256));
    let dependencies: Vec<_> = packages.chain(agents).chain([resource("tools.lock", build.tools)]).collect();
    let subjects = build.artefacts.iter().map(|(name, artefact)| resource(name, &artefact.sha256));
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects.collect::<Vec<_>>(),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "image": build.image,
                    "suite": build.suite.name(),
                    "arch": build.arch,
                    "definition": {"digest": {"sha256": build.definition}},
                },
                "internalParameters": {"recipe": build.recipe},
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": {"id": format!("urn:stead:{}", crate::VERSION)},
                "metadata": {
                    "invocationId": build.key,
                    "startedOn": time(build.started),
                    "finishedOn": time(build.finished),
                },
            },
        },
    })
}

fn resource(name: &str, sha256: &str) -> Value {
    json!({"name": name, "digest": {"sha256": sha256}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::record::to_text;

    #[test]
    fn a_statement_in_whatever_order_the_packages_come() {
        let locked = |name: &str, version: &str| Locked {
            name: name.into(),
            version: version.into(),
            arch: "amd64".into(),
            sha256: "cd".repeat(32),
            ..crate::image::Lock::sample().packages.remove(0)
        };
        let (tar, libc) = (locked("tar", "1.35+dfsg-3.1"), locked("libc6", "2.41-12"));
        let artefacts = BTreeMap::from([("disk.qcow2".into(), Artefact { sha256: "ab".repeat(32), size: 5 })]);
        let of = |packages: &[Locked]| {
            to_text(&statement(&Build {
                image: "base",
                key: "0123456789abcdef0123456789abcdef01234567",
                suite: Suite::Trixie,
                arch: "amd64",
                definition: &"01".repeat(32),
                recipe: &json!({"layers": ["packages", "playbooks", "agent"]}),
                packages,
                agents: &BTreeMap::from([("stead-node".into(), "ef".repeat(32))]),
                tools: &"23".repeat(32),
                started: Timestamp::from_timestamp(1_760_000_000, 0).unwrap(),
                finished: Timestamp::from_timestamp(1_760_000_300, 0).unwrap(),
                artefacts: &artefacts,
            }))
        };
        let text = of(&[tar.clone(), libc.clone()]);
        assert_eq!(text, of(&[libc, tar]));
        insta::assert_snapshot!(text);
    }
}
