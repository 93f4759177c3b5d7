//! What the store remembers of builds: roots, disks with their documents, and what gates found of them.

use camino::Utf8Path;

use crate::clock::{Clock, SystemClock};
use crate::image::record::{Entry, Gate, documents};
use crate::image::{Built, BuiltDisk, Inputs};
use crate::keypair::PrivateKey;
use crate::store::{self, Store};
use crate::{Error, Result};

/// Records a build; does nothing where it is recorded and nothing of it was made now. Another fleet on this machine may
/// have built it, so a store may meet an image that it did not make.
///
/// # Errors
/// Fails where a layer cannot be read or the store cannot be written.
pub async fn record(store: &Store, actor: &str, inputs: &Inputs, built: &Built) -> Result<()> {
    let (key, found) = (built.key.as_str(), built.made.is_empty());
    if found && store.read().await?.image(key).await?.is_some() {
        return Ok(());
    }
    let place = built.layers.first().cloned().unwrap_or_default();
    let image = row(inputs, key, built.size()?, &place, built.seconds);
    let action = if found { "image.found" } else { "image.built" };
    let entry =
        crate::audit::Entry::new(actor, action, format!("image/{}", image.key)).detail("name", image.name.as_str());
    store
        .write(move |tx| {
            Box::pin(async move {
                // Another workspace's workflow may have found it in the same moment.
                if found && tx.image(&image.key).await?.is_some() {
                    return Ok(());
                }
                tx.put_image(&image).await?;
                entry.append(tx).await
            })
        })
        .await
}

/// Records a disk, as a build of its own beside its root: its documents, signed by the fleet, and where it lies. Does nothing
/// where that is recorded already. Where the same key gave other bytes than are recorded, what was found of those no longer
/// counts.
///
/// # Errors
/// Fails where what the build left cannot be read, or the store cannot be written.
pub async fn record_disk(
    store: &Store,
    actor: &str,
    signer: &PrivateKey,
    inputs: &Inputs,
    built: &BuiltDisk,
) -> Result<Entry> {
    record(store, actor, inputs, &built.root).await?;
    let key = built.key.as_str();
    let found = store.read().await?.image(key).await?.and_then(|image| image.record);
    if let Some(entry) = found.as_ref().map(Entry::parse).transpose()?
        && documents::same(&entry, built)?
    {
        return Ok(entry);
    }
    let finished = SystemClock.now();
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds of a build")]
    let started = finished - chrono::Duration::milliseconds((built.seconds * 1000.0) as i64);
    let documents::Made { artefacts, documents: made } = documents::make(inputs, built, signer, (started, finished))?;
    let mut documents = std::collections::BTreeMap::new();
    for (name, content) in made {
        documents.insert(name, store.blobs().put(content).await?.to_string());
    }
    let size = artefacts.values().map(|artefact| artefact.size).max().unwrap_or_default();
    let entry = Entry {
        root: built.root.key.as_str().to_owned(),
        file: built.file.clone(),
        layers: built.root.layers.clone(),
        artefacts,
        documents,
        gates: std::collections::BTreeMap::new(),
    };
    let row = row(inputs, key, size, &built.file, built.seconds);
    let (value, audit) = (to_value(&entry)?, crate::audit::Entry::new(actor, "image.disk", format!("image/{key}")));
    store
        .write(move |tx| {
            Box::pin(async move {
                // At once: gates of other bytes must not outlive a crash in between.
                tx.put_image(&row).await?;
                tx.set_image_record(&row.key, &value).await?;
                audit.append(tx).await
            })
        })
        .await?;
    Ok(entry)
}

fn row(inputs: &Inputs, key: &str, size: u64, place: &Utf8Path, seconds: f64) -> store::Image {
    store::Image {
        key: key.to_owned(),
        name: inputs.definition.name.clone(),
        suite: inputs.definition.suite.name().to_owned(),
        arch: inputs.definition.arch.clone(),
        size,
        location: place.to_string(),
        built_at: SystemClock.now(),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a build")]
        build_seconds: seconds as u32,
        record: None,
    }
}

/// Adds documents to the record of the disk of the build `key`, and signs anew what is signed.
///
/// # Errors
/// Fails where no such disk is recorded, or the store cannot be written.
pub async fn record_documents(
    store: &Store,
    actor: &str,
    signer: &PrivateKey,
    key: &str,
    more: Vec<(String, Vec<u8>)>,
) -> Result<()> {
    let mut entry = read_entry(store, key).await?;
    let sums = entry.documents.get(documents::SUMS).map(|sums| sums.parse()).transpose()?;
    let sums = match sums {
        Some(sums) => store.blobs().get(&sums).await?.to_vec(),
        None => Vec::new(),
    };
    for (name, content) in documents::add(&sums, more, signer)? {
        entry.documents.insert(name, store.blobs().put(content).await?.to_string());
    }
    write_entry(store, key, &entry, crate::audit::Entry::new(actor, "image.documents", format!("image/{key}"))).await
}

/// Writes down what a gate found of the disk of the build `key`.
///
/// # Errors
/// Fails where no such disk is recorded, or the store cannot be written.
pub async fn record_gate(store: &Store, actor: &str, key: &str, name: &str, gate: Gate) -> Result<()> {
    let mut entry = read_entry(store, key).await?;
    let audit = crate::audit::Entry::new(actor, "image.gate", format!("image/{key}"))
        .detail("gate", name)
        .detail("passed", gate.passed);
    entry.gates.insert(name.to_owned(), gate);
    write_entry(store, key, &entry, audit).await
}

async fn read_entry(store: &Store, key: &str) -> Result<Entry> {
    let image = store.read().await?.image(key).await?;
    let record = image.and_then(|image| image.record);
    Entry::parse(&record.ok_or_else(|| Error::failed(format!("no disk of the build {key} is recorded")))?)
}

fn to_value(entry: &Entry) -> Result<serde_json::Value> {
    serde_json::to_value(entry).map_err(|error| Error::failed("recording an image").because(error))
}

async fn write_entry(store: &Store, key: &str, entry: &Entry, audit: crate::audit::Entry) -> Result<()> {
    let (value, key) = (to_value(entry)?, key.to_owned());
    store
        .write(move |tx| {
            Box::pin(async move {
                tx.set_image_record(&key, &value).await?;
                audit.append(tx).await
            })
        })
        .await
}
