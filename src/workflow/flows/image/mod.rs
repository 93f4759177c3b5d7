//! Step `image`: the tier's image, built where it is missing.

mod record;

use std::time::Duration;

use async_trait::async_trait;
use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

pub use self::record::{record, record_disk, record_documents, record_gate};
use super::declared::Declared;
use super::{Desired, Params, Platform, platform};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::fleet::scalar::Bytes;
use crate::fleet::{ProviderKind, Tier, Workspace};
use crate::image::published::Published;
use crate::image::record::Entry;
use crate::image::stages::StageKey;
use crate::image::vm::qemu::Firmware;
use crate::image::{
    Builder, Built, BuiltDisk, Definition, DiskInputs, Inputs, Lock, Programs, Stop, build as builds, disk, tools,
};
use crate::provider::{BaseDisk, local};
use crate::store::Store;
use crate::workflow::{Step, StepCx, StepError};
use crate::{Error, Result};

/// What the step gives.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Output {
    /// The image's key.
    pub(super) key: String,
    /// Its layers, topmost first; none of an image that a virtual machine starts from.
    pub(super) layers: Vec<Utf8PathBuf>,
    /// Its disk, where the node is to be a virtual machine.
    #[serde(default)]
    pub(super) disk: Option<BaseDisk>,
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
        let declared = Declared::of(cx, &params).await?;
        let (desired, workspace, tier) = (declared.desired.clone(), &declared.workspace, declared.tier()?);
        if workspace.machine.is_some() {
            // It comes with a system of its own.
            return Ok(serde_json::Value::Null);
        }
        let image =
            tier.image.as_ref().ok_or_else(|| Error::failed(format!("the tier {:?} names no image", tier.name)))?;
        let vm = is_vm(&desired, workspace, tier);
        if let Some(channel) = &image.channel {
            return Ok(serde_json::json!(promoted(platform, cx.store(), &image.name, channel, vm).await?));
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
            make(&config, &desired, &name, vm, stopped, &|line| drop(progress.send(line.to_owned())))
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
        let (inputs, made) =
            build.await.map_err(|error| Error::failed("the build ended unexpectedly").because(error))??;
        let (key, layers, file) = match made {
            Made::Root(root) => {
                record(cx.store(), &params.actor, &inputs, &root).await?;
                (root.key, root.layers, None)
            }
            Made::Disk(disk) => {
                record_disk(cx.store(), &params.actor, platform.keys.image_signer(), &inputs, &disk).await?;
                (disk.root.key.clone(), Vec::new(), Some(disk.bootable().clone()))
            }
            Made::Published(root, file) => (root, Vec::new(), Some(file)),
        };
        let disk = file.map(|file| BaseDisk { file, firmware: firmware(&inputs.definition) });
        let (key, arch) = (key.as_str().to_owned(), inputs.definition.arch);
        Ok(serde_json::json!(Output { key, layers, disk, arch }))
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}

/// Whether a workspace's node is a virtual machine: where its tier says so, and where this host can run no containers.
pub fn is_vm(desired: &Desired, workspace: &Workspace, tier: &Tier) -> bool {
    let local = desired.fleet.provider(workspace).is_some_and(|provider| provider.kind == ProviderKind::Local);
    local && (tier.vm || local::cannot_contain().is_some())
}

/// What a channel points at, where it is stored on this machine.
async fn promoted(platform: &Platform, store: &Store, name: &str, channel: &str, vm: bool) -> Result<Output> {
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
    let absent = || {
        Error::failed(format!("the build that {name}:{channel} points at is not stored on this machine"))
            .hint(format!("build and promote it here: `stead image build {name}`, and its gates"))
    };
    if vm {
        let file = published(&platform.config, &image.key).ok_or_else(absent)?;
        // What it was seen to boot with, whatever its definition says now.
        let seen = |firmware: Firmware| record.gates.contains_key(&format!("boot.{}", firmware.name()));
        let uefi = seen(Firmware::Uefi) && !seen(Firmware::Bios);
        let disk = Some(BaseDisk { file, firmware: if uefi { Firmware::Uefi } else { Firmware::Bios } });
        return Ok(Output { key: record.root, layers: Vec::new(), disk, arch: image.arch });
    }
    if record.layers.is_empty() || record.layers.iter().any(|layer| !layer.is_dir()) {
        return Err(absent());
    }
    Ok(Output { key: record.root, layers: record.layers, disk: None, arch: image.arch })
}

/// A build's disk, where this user may read it.
fn published(config: &Config, key: &str) -> Option<Utf8PathBuf> {
    config.caches().into_iter().find_map(|cache| Published::new(cache).find(key))
}

/// What a machine boots an image with: the simpler one, where the image has both.
fn firmware(definition: &Definition) -> Firmware {
    match &definition.disk {
        Some(disk) if !disk.firmware.iter().any(|name| name == Firmware::Bios.name()) => Firmware::Uefi,
        _ => Firmware::Bios,
    }
}

/// What a node starts from.
enum Made {
    Root(Built),
    Disk(BuiltDisk),
    /// The root's key, and the disk that was made of it by root.
    Published(StageKey, Utf8PathBuf),
}

/// Builds what a node starts from, or finds it.
fn make(
    config: &Config,
    desired: &Desired,
    name: &str,
    vm: bool,
    stop: Stop,
    progress: &dyn Fn(&str),
) -> Result<(Inputs, Made)> {
    if !vm {
        return build(config, desired, name, stop, progress).map(|(inputs, built)| (inputs, Made::Root(built)));
    }
    let inputs = inputs(config, desired, name)?;
    if config.root {
        let built = Builder::new(config, &SystemClock).with_stop(stop).build_disk(&inputs, progress)?;
        return Ok((inputs, Made::Disk(built)));
    }
    let found = builds::disk_key(&inputs)?.and_then(|key| published(config, key.as_str()));
    let file = found.ok_or_else(|| not_built(&inputs))?;
    let root = builds::key(&inputs)?;
    Ok((inputs, Made::Published(root, file)))
}

/// Whether virtual machines of a tier can be of its image as it is defined now.
///
/// # Errors
/// Fails with the reason, before anything is made.
pub fn check_vm(desired: &Desired, tier: &Tier) -> Result<()> {
    let Some(image) = tier.image.as_ref().filter(|image| image.channel.is_none()) else { return Ok(()) };
    let definition = Definition::load(&desired.files, &image.name)?;
    let (name, arch) = (&definition.name, &definition.arch);
    if arch != platform::AMD64 {
        return Err(Error::input(format!("the image {name:?} is for {arch}, and virtual machines here are amd64")));
    }
    let Some(disk) = &definition.disk else {
        return Err(Error::input(format!("the image {name:?} declares no disk, and a virtual machine needs one"))
            .hint("`disk: {size: 4GiB}` in its image.yaml makes one"));
    };
    match tier.size {
        Some(size) if size.disk.0 < disk.size => Err(Error::input(format!(
            "the tier {:?} gives its machines disks of {}, and that of its image {name:?} is {}",
            tier.name,
            size.disk.rounded(),
            Bytes(disk.size).rounded()
        ))
        .hint("make the tier's `size: {disk: …}` larger, or the image's `disk: {size: …}` smaller")),
        _ => Ok(()),
    }
}

/// Only root can build an image; who is not may use what root built.
fn not_built(inputs: &Inputs) -> Error {
    let name = &inputs.definition.name;
    Error::failed(format!("the disk of the image {name:?} is not built, and only root can build it"))
        .hint(format!("`sudo stead image build {name}` in this fleet's folder; then this command again, without sudo"))
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
