//! `stead image show`.

use camino::Utf8PathBuf;
use serde::Serialize;

use super::reference;
use crate::cli::env::{Env, Place};
use crate::cli::printer::table;
use crate::cli::text::{size, time};
use crate::error::Context;
use crate::image::record::vulnerabilities::{self, Status};
use crate::image::record::{Entry, documents, package, sign};
use crate::store::{Image, Store};
use crate::{Error, Result, atomic_file};

/// Shows a build: what was made, which gates it passed, its documents
///
/// Documents: the bills of materials (spdx.json, cyclonedx.json), the provenance (provenance.json), every file with its hash
/// (files.jsonl.zst), dpkg's record, and the digests of all of it with the fleet's signature.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The build: NAME (its latest), NAME:CHANNEL, or the beginning of its key
    build: String,
    /// Only print this document
    #[arg(long, value_name = "NAME", conflicts_with = "export")]
    document: Option<String>,
    /// Write all documents into this folder, with what `ssh-keygen -Y verify` needs
    #[arg(long, value_name = "DIR")]
    export: Option<Utf8PathBuf>,
    /// List known vulnerabilities of its packages, by Debian's security tracker (the file that the tracker offers as JSON)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["document", "export"])]
    vulnerabilities: Option<Utf8PathBuf>,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    image: Image,
    channels: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// Fails where there is no such build or document.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let place = env.place()?;
    let store = env.store(&place).await?;
    let image = reference::resolve(&store, &args.build).await?;
    if let Some(name) = &args.document {
        let entry = reference::entry(&image)?;
        return env.printer.raw(&document(&store, &entry, name).await?);
    }
    if let Some(dir) = &args.export {
        return export(env, &place, &store, &reference::entry(&image)?, dir).await;
    }
    if let Some(tracker) = &args.vulnerabilities {
        let status = document(&store, &reference::entry(&image)?, documents::STATUS).await?;
        return vulnerabilities(env, &image.suite, &status, tracker);
    }
    let channels = store.read().await?.channels().await?;
    let channels =
        channels.into_iter().filter(|channel| channel.key == image.key).map(|channel| channel.name).collect();
    let shown = Shown { image, channels };
    let text = text(&shown)?;
    env.printer.data(&shown, text)
}

/// One of a build's documents.
pub(super) async fn document(store: &Store, entry: &Entry, name: &str) -> Result<Vec<u8>> {
    let key = entry.documents.get(name).ok_or_else(|| {
        let known = entry.documents.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        Error::input(format!("the build has no document {name:?}")).hint(format!("it has {known}"))
    })?;
    Ok(store.blobs().get(&key.parse()?).await?.to_vec())
}

async fn export(env: &Env, place: &Place, store: &Store, entry: &Entry, dir: &Utf8PathBuf) -> Result<()> {
    fs_err::create_dir_all(dir).with_context(|| format!("making {dir}"))?;
    let mut written = Vec::new();
    for name in entry.documents.keys() {
        atomic_file::write(&dir.join(name), &document(store, entry, name).await?, 0o644)?;
        written.push(dir.join(name));
    }
    let keys = env.keys(place)?;
    let signers = dir.join("allowed_signers");
    atomic_file::write(&signers, sign::allowed_signer(keys.image_signer().public_key())?.as_bytes(), 0o644)?;
    written.push(signers);
    let text = format!(
        "{} files in {dir}; to verify:\n  ssh-keygen -Y verify -f allowed_signers -I {} -n {} -s SHA256SUMS.sig < SHA256SUMS",
        written.len(),
        sign::SIGNER,
        sign::NAMESPACE
    );
    env.printer.data(&written, text)
}

/// The vulnerabilities that the tracker knows of in what dpkg has.
fn vulnerabilities(env: &Env, suite: &str, status: &[u8], tracker: &Utf8PathBuf) -> Result<()> {
    let status = zstd::decode_all(status)?;
    let packages = package::packages(&String::from_utf8_lossy(&status));
    let file = fs_err::File::open(tracker).with_context(|| format!("reading {tracker}"))?;
    let found = vulnerabilities::find(std::io::BufReader::new(file), suite, &packages)
        .with_context(|| format!("{tracker} is not the tracker's file"))?;
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|known| {
            let state = match &known.status {
                Status::Open => "open".to_owned(),
                Status::Fixed(version) => format!("fixed in {version}"),
                Status::Undetermined => "undetermined".to_owned(),
            };
            vec![known.cve.clone(), known.source.clone(), known.version.clone(), state, known.urgency.clone()]
        })
        .collect();
    let text = if rows.is_empty() {
        "none that the tracker knows".to_owned()
    } else {
        table(&["CVE", "SOURCE", "VERSION", "STATE", "URGENCY"], &rows)
    };
    env.printer.data(&found, text)
}

fn text(shown: &Shown) -> Result<String> {
    let Shown { image, channels } = shown;
    let mut text =
        format!("{} {}\n{}, {}, built {}\n", image.name, image.key, image.suite, image.arch, time(image.built_at));
    if !channels.is_empty() {
        text += &format!("channels: {}\n", channels.join(", "));
    }
    let Some(record) = &image.record else { return Ok(text + "no disk was made of it") };
    let entry = Entry::parse(record)?;
    text += &format!("{}\n\n", entry.file);
    let rows: Vec<Vec<String>> = entry
        .artefacts
        .iter()
        .map(|(name, artefact)| {
            let bytes = if artefact.size == 0 { "-".into() } else { size(artefact.size) };
            vec![name.clone(), bytes, artefact.sha256.clone()]
        })
        .collect();
    text += &table(&["ARTEFACT", "SIZE", "SHA-256"], &rows);
    let rows: Vec<Vec<String>> = entry
        .gates
        .iter()
        .map(|(name, gate)| {
            let passed = if gate.passed { "passed" } else { "failed" };
            vec![name.clone(), passed.into(), time(gate.at), gate.seen.clone()]
        })
        .collect();
    if !rows.is_empty() {
        text += "\n\n";
        text += &table(&["GATE", "", "AT (UTC)", "FOUND"], &rows);
    }
    Ok(text + "\n\ndocuments: " + &entry.documents.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
}
