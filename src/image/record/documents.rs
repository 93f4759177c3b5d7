//! An image's documents, made from what its build left.

use std::collections::BTreeMap;

use camino::Utf8Path;
use sha2::{Digest, Sha256};

use super::provenance::{self, Build};
use super::sbom::Subject;
use super::{Artefact, Entry, Recorded, cyclonedx, file, package, sign, spdx, to_text};
use crate::clock::Timestamp;
use crate::image::build::{BuiltDisk, Inputs};
use crate::image::debs;
use crate::image::disk::pack;
use crate::keypair::PrivateKey;
use crate::{Error, Result};

/// How a disk is made.
const STAGES: [&str; 8] = ["packages", "playbooks", "agent", "boot", "initrd", "filesystem", "disk", "format"];
/// Every file with its hash and package, compressed.
pub const FILES: &str = "files.jsonl.zst";
/// dpkg's record, compressed.
pub const STATUS: &str = "dpkg-status.zst";
/// What is signed: every artefact's and document's digest.
pub const SUMS: &str = "SHA256SUMS";
/// The signature.
pub const SIGNATURE: &str = "SHA256SUMS.sig";

/// What [`make`] makes.
#[derive(Debug, Clone)]
pub struct Made {
    /// What the build made, by name.
    pub artefacts: BTreeMap<String, Artefact>,
    /// The documents' content, by name.
    pub documents: BTreeMap<String, Vec<u8>>,
}

/// The artefacts and the documents of a build, signed with `key`.
///
/// # Errors
/// Fails where what the build left cannot be read.
pub fn make(
    inputs: &Inputs,
    built: &BuiltDisk,
    key: &PrivateKey,
    (started, finished): (Timestamp, Timestamp),
) -> Result<Made> {
    let left = |name: &str| fs_err::read(built.filesystem.join(name));
    let mut artefacts = BTreeMap::new();
    // The raw disk is the same in another form, and nobody is given it.
    artefacts.insert(name(&built.file), artefact(&built.file)?);
    let tar = String::from_utf8_lossy(&left(pack::HASH)?).into_owned();
    artefacts.insert("root.tar".into(), Artefact { sha256: tar, size: 0 });

    let status = left(pack::STATUS)?;
    let copyrights = serde_json::from_slice(&left(pack::COPYRIGHTS)?)
        .map_err(|error| Error::failed("reading what the build left").because(error))?;
    let packages = package::packages(&String::from_utf8_lossy(&status));
    let definition = &inputs.definition;
    let subject = Subject {
        name: &definition.name,
        key: built.key.as_str(),
        suite: definition.suite,
        created: inputs.lock.date,
        packages: &packages,
        copyrights: &copyrights,
        artefacts: &artefacts,
    };
    let agents = BTreeMap::from([
        ("stead-node".to_owned(), inputs.programs.node.sha256.clone()),
        ("stead-agent".to_owned(), inputs.programs.workload.sha256.clone()),
    ]);
    let tools = inputs.disk.as_ref().and_then(|disk| disk.tools.as_ref());
    let statement = provenance::statement(&Build {
        image: &definition.name,
        key: built.key.as_str(),
        suite: definition.suite,
        arch: &definition.arch,
        definition: &digest(&(definition, &inputs.plan))?,
        recipe: &serde_json::json!({"stages": STAGES}),
        packages: &inputs.lock.packages,
        agents: &agents,
        tools: &digest(&tools)?,
        started,
        finished,
        artefacts: &artefacts,
    });
    let mut documents = BTreeMap::from([
        ("spdx.json".to_owned(), to_text(&spdx::document(&subject)).into_bytes()),
        ("cyclonedx.json".to_owned(), to_text(&cyclonedx::document(&subject)).into_bytes()),
        ("provenance.json".to_owned(), to_text(&statement).into_bytes()),
        (FILES.to_owned(), zstd::encode_all(&left(pack::FILES)?[..], 9)?),
        (STATUS.to_owned(), zstd::encode_all(&status[..], 9)?),
    ]);
    let mut all = artefacts.clone();
    all.extend(documents.iter().map(|(name, text)| {
        (name.clone(), Artefact { sha256: hex::encode(Sha256::digest(text)), size: text.len() as u64 })
    }));
    let sums = sign::sums(&all)?;
    documents.insert(SIGNATURE.into(), sign::sign(key, sign::NAMESPACE, sums.as_bytes())?.into_bytes());
    documents.insert(SUMS.into(), sums.into_bytes());
    Ok(Made { artefacts, documents })
}

/// Whether a build gave the bytes that are recorded.
///
/// # Errors
/// Fails where its disk cannot be read.
pub fn same(entry: &Entry, built: &BuiltDisk) -> Result<bool> {
    let found = artefact(&built.file)?;
    Ok(entry.file == built.file && entry.artefacts.get(&name(&built.file)) == Some(&found))
}

/// These documents, and with theirs the digests of `sums`, signed anew.
///
/// # Errors
/// Fails where `sums` is damaged.
pub fn add(sums: &[u8], more: Vec<(String, Vec<u8>)>, key: &PrivateKey) -> Result<Vec<(String, Vec<u8>)>> {
    let digest = |sha256: String| Artefact { sha256, size: 0 };
    let all = sign::parse_sums(&String::from_utf8_lossy(sums))?;
    let mut all: BTreeMap<String, Artefact> = all.into_iter().map(|(name, sha256)| (name, digest(sha256))).collect();
    all.extend(more.iter().map(|(name, text)| (name.clone(), digest(hex::encode(Sha256::digest(text))))));
    let sums = sign::sums(&all)?;
    let signature = sign::sign(key, sign::NAMESPACE, sums.as_bytes())?;
    let signed = [(SIGNATURE.to_owned(), signature.into_bytes()), (SUMS.to_owned(), sums.into_bytes())];
    Ok(more.into_iter().chain(signed).collect())
}

/// What two images are compared by, from their documents.
///
/// # Errors
/// Fails where a document is damaged.
pub fn recorded(
    (name, key): (&str, &str),
    (files, status): (&[u8], &[u8]),
    artefacts: BTreeMap<String, Artefact>,
    scores: BTreeMap<String, f64>,
) -> Result<Recorded> {
    let status = zstd::decode_all(status)?;
    Ok(Recorded {
        name: name.to_owned(),
        key: key.to_owned(),
        packages: package::packages(&String::from_utf8_lossy(&status)),
        files: file::read(&zstd::decode_all(files)?[..])?,
        artefacts,
        scores,
    })
}

fn digest(value: &impl serde::Serialize) -> Result<String> {
    let document = serde_json::to_vec(value).map_err(|error| Error::failed("describing an image").because(error))?;
    Ok(hex::encode(Sha256::digest(document)))
}

fn name(file: &Utf8Path) -> String {
    file.file_name().unwrap_or_default().to_owned()
}

fn artefact(file: &Utf8Path) -> Result<Artefact> {
    Ok(Artefact { sha256: debs::hash(file)?, size: fs_err::metadata(file)?.len() })
}
