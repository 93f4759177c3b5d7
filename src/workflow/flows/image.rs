//! Step `image`: the tier's image, built where it is missing.

use std::time::Duration;

use async_trait::async_trait;
use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use super::{Desired, Params, Platform, platform};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::image::record::{Entry, Gate, documents};
use crate::image::{Builder, Built, BuiltDisk, Definition, DiskInputs, Inputs, Lock, Programs, Stop, disk, tools};
use crate::keypair::PrivateKey;
use crate::store::{self, Store};
use crate::workflow::{Step, StepCx, StepError};
use crate::{Error, Result};

/// What the step gives.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Output {
    /// The image's key.
    pub(super) key: String,
    /// Its layers, topmost first.
    pub(super) layers: Vec<camino::Utf8PathBuf>,
    /// Debian's name of its architecture; absent from what earlier versions of this program recorded.
    #[serde(default = "amd64")]
    pub(super) arch: String,
}

fn amd64() -> String {
    platform::AMD64.to_owned()
}

/// The step. Nothing is taken back: a stored image is worth keeping, whatever becomes of the node.
pub(super) struct Image;

#[async_trait]
impl Step<Platform> for Image {
    fn name(&self) -> &'static str {
        "image"
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(30 * 60)
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let params: Params = cx.params()?;
        let platform = cx.context();
        let desired = platform.desired(cx.store(), cx.revision()).await?;
        let (workspace, tier) = desired.workspace(&params.slug)?;
        if workspace.machine.is_some() {
            // It comes with a system of its own.
            return Ok(serde_json::Value::Null);
        }
        let image =
            tier.image.as_ref().ok_or_else(|| Error::failed(format!("the tier {:?} names no image", tier.name)))?;
        if let Some(channel) = &image.channel {
            return Ok(serde_json::json!(promoted(cx.store(), &image.name, channel).await?));
        }
        let name = image.name.clone();
        if Lock::find(&desired.files, &Definition::load(&desired.files, &name)?)?.is_none() {
            // A revision never changes, so the lock that `up` writes now does not get into it.
            return Err(Error::failed(format!(
                "the revision that this workflow is pinned to has no lock of the image {name:?}"
            ))
            .hint(format!("an earlier version of stead began it: `stead down {0}`, then `stead up {0}`", params.slug))
            .into());
        }
        let (progress, mut lines) = tokio::sync::mpsc::unbounded_channel::<String>();
        let config = platform.config.clone();
        let stop = Stop::default();
        // Nor may it go on where nobody waits for it any more: the workflow may be another program's by now.
        let _guard = stop.on_drop();
        let stopped = stop.clone();
        let build = tokio::task::spawn_blocking(move || {
            // Nobody listens any more where the workflow was interrupted.
            build(&config, &desired, &name, stopped, &|line| drop(progress.send(line.to_owned())))
        });
        let watch = async {
            while let Some(line) = lines.recv().await {
                cx.progress(line);
            }
        };
        let stopper = async {
            cx.cancelled().await;
            stop.stop();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = watch => {}
            () = stopper => {}
        }
        let (inputs, built) =
            build.await.map_err(|error| Error::failed("the build ended unexpectedly").because(error))??;
        record(cx.store(), &params.actor, &inputs, &built).await?;
        let arch = inputs.definition.arch;
        Ok(serde_json::json!(Output { key: built.key.as_str().to_owned(), layers: built.layers, arch }))
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}

/// What a channel points at, where its layers are stored on this machine.
async fn promoted(store: &Store, name: &str, channel: &str) -> Result<Output> {
    let mut reader = store.read().await?;
    let found = reader.channel(name, channel).await?.ok_or_else(|| {
        Error::failed(format!("no build of the image {name:?} was promoted to {channel:?}")).hint(format!(
            "`stead image promote {name} --to {channel}` does, after its gates; or leave `:{channel}` out"
        ))
    })?;
    let image = reader.image(&found.key).await?;
    let image =
        image.ok_or_else(|| Error::failed(format!("{name}:{channel} points at a build that is not recorded")))?;
    let record = image.record.as_ref().map(Entry::parse).transpose()?.unwrap_or_default();
    if record.layers.is_empty() || record.layers.iter().any(|layer| !layer.is_dir()) {
        return Err(Error::failed(format!("the build that {name}:{channel} points at is not stored on this machine"))
            .hint(format!("build and promote it here: `stead image build {name}`, and its gates")));
    }
    Ok(Output { key: record.root, layers: record.layers, arch: image.arch })
}

/// All that goes into an image, from what is declared.
///
/// # Errors
/// Fails as the definition and its playbooks do, and where the programs for nodes are missing.
pub fn inputs(config: &Config, desired: &Desired, name: &str) -> Result<Inputs> {
    let definition = Definition::load(&desired.files, name)?;
    let lock = Lock::load(&desired.files, &definition)?;
    let programs = Programs::load(&config.agents_dir, &definition.arch)?;
    let plan = crate::image::plan::compile(&desired.files, &definition)?;
    let disk = definition.disk.is_some().then(|| {
        let plan = disk::plan(&desired.files, &definition)?;
        let tools = Lock::find(&desired.files, &tools::definition())?;
        Ok::<_, Error>(DiskInputs { plan, initrd: disk::initrd::plan(&desired.files, lock.date.timestamp())?, tools })
    });
    Ok(Inputs { definition, lock, disk: disk.transpose()?, plan, files: desired.files.clone(), programs })
}

/// Builds an image from what is declared, or finds it; `stop` ends it early.
///
/// # Errors
/// Fails as [`inputs`] and the build do.
pub fn build(
    config: &Config,
    desired: &Desired,
    name: &str,
    stop: Stop,
    progress: &dyn Fn(&str),
) -> Result<(Inputs, Built)> {
    let inputs = inputs(config, desired, name)?;
    let built = Builder::new(config, &SystemClock).with_stop(stop).build(&inputs, progress)?;
    Ok((inputs, built))
}

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
