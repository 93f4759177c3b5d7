//! From a definition and its lock to what nodes start from.
//!
//! Stages, each with a key made of all that goes into it, so that only what changed is made again:
//!
//! 1. `packages`: the lock's packages. Slow, and rarely another.
//! 2. `playbooks`: what the definition's overlay and playbooks change. Seconds.
//! 3. `audit`: whether the root is as its playbooks mean it to be, before anything is made of it. Only a report.
//! 4. `agent`: the programs that run on nodes. A new build of them makes this stage only.
//!
//! These lie one over the other, and a node in a container starts from them as they are. A disk is made from them in further
//! stages (see `disk`).

mod disk;
mod keys;
mod offline;

use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};

pub use self::disk::BuiltDisk;
use self::keys::Keys;
use super::collect;
use super::debs::Debs;
use super::definition::Definition;
use super::lock::Lock;
use super::programs::{Program, Programs};
use super::sources::Sources;
use super::stages::{Building, Stage, StageKey, Stages};
use super::stop::Stop;
use super::{apply, rootfs};
use crate::clock::Clock;
use crate::config::Config;
use crate::error::Context;
use crate::fleet::FileSet;
use crate::fleet::scalar::Bytes;
use crate::wire::plan::{Plan, Status, TaskEvent};
use crate::{Error, Result};

/// Raised when the way stages are made changes, so that old ones are not taken for new.
const RECIPE: u32 = 6;

/// The same, for the stage with the programs alone.
const AGENT_RECIPE: u32 = 1;

/// Room that a build needs at most, in bytes: the packages, unpacked, and as they were downloaded.
pub const ROOM: u64 = 1 << 30;

/// An image, ready to start nodes from.
#[derive(Debug, Clone)]
pub struct Built {
    /// The hash of all that went into it.
    pub key: StageKey,
    /// Its layers, topmost first.
    pub layers: Vec<Utf8PathBuf>,
    /// Which stages were made now; empty where all were stored.
    pub made: Vec<&'static str>,
    /// How long that took, in seconds.
    pub seconds: f64,
}

impl Built {
    /// What the layers take on the disk, in bytes.
    ///
    /// # Errors
    /// Fails where a layer cannot be read.
    pub fn size(&self) -> Result<u64> {
        self.layers.iter().map(|layer| collect::size(layer)).sum()
    }
}

/// All that goes into an image.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The definition.
    pub definition: Definition,
    /// Its packages.
    pub lock: Lock,
    /// What its disk is made from, where it declares one.
    pub disk: Option<DiskInputs>,
    /// The definition's overlay and playbooks, compiled.
    pub plan: Plan,
    /// The fleet's files, with the content that the plan only names.
    pub files: FileSet,
    /// The programs for its architecture.
    pub programs: Programs,
}

/// What goes into an image's disk beside its root.
#[derive(Debug, Clone)]
pub struct DiskInputs {
    /// What makes the root bootable.
    pub plan: Plan,
    /// What makes the initial RAM disk.
    pub initrd: Plan,
    /// The packages that the disk's tools come from; only known where a disk is to be made.
    pub tools: Option<Lock>,
}

/// Makes images, and finds those made before.
pub struct Builder<'a> {
    config: &'a Config,
    clock: &'a dyn Clock,
    stages: Stages,
    debs: Debs,
    stop: Stop,
}

/// A stage, and whether a build would make it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Planned {
    /// `packages`, `playbooks`, `agent`, `boot`, `filesystem`, `disk`, `format`.
    pub kind: &'static str,
    /// The hash of all that goes into it.
    pub key: StageKey,
    /// Whether it is stored already; a build then takes it as it is.
    pub stored: bool,
    /// Why it would be made; none where it is stored.
    pub reason: Option<&'static str>,
}

impl<'a> Builder<'a> {
    /// A builder with the machine's cache of stages.
    pub fn new(config: &'a Config, clock: &'a dyn Clock) -> Self {
        let (stages, debs) = (Stages::new(&config.cache_dir), Debs::new(&config.cache_dir));
        Self { stages, debs, config, clock, stop: Stop::default() }
    }

    /// Lets `stop` end what this builder builds.
    #[must_use]
    pub fn with_stop(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    /// The image, if all its stages are stored.
    ///
    /// # Errors
    /// Fails where the inputs cannot be described.
    pub fn find(&self, inputs: &Inputs) -> Result<Option<Built>> {
        let keys = Keys::of(inputs)?;
        let layers = [&keys.agent, &keys.playbooks, &keys.packages].map(|key| self.stages.find(key));
        let layers = layers.into_iter().collect::<Option<Vec<_>>>();
        let audited = self.stages.find(&keys.audit);
        Ok(layers.filter(|_| audited.is_some()).map(|layers| Built {
            key: keys.agent,
            layers,
            made: Vec::new(),
            seconds: 0.0,
        }))
    }

    /// What a build would take and make, lowest stage first; the disk's stages too, where there is to be one.
    ///
    /// # Errors
    /// Fails where the inputs cannot be described.
    pub fn plan(&self, inputs: &Inputs) -> Result<Vec<Planned>> {
        let mut below_is_new = false;
        Ok(Keys::of(inputs)?
            .list()
            .into_iter()
            .map(|(kind, key, unknown)| {
                let stored = self.stages.find(&key).is_some();
                let reason = if below_is_new { "the stage below it is new" } else { unknown };
                below_is_new |= !stored;
                Planned { kind, key, stored, reason: (!stored).then_some(reason) }
            })
            .collect())
    }

    /// Makes what is missing of the root. `progress` is told what is being done, in a few words.
    ///
    /// # Errors
    /// Fails without root, without mmdebstrap, where a stage fails, or where it is stopped; what is stored by then stays stored, and nothing
    /// half-made does.
    pub fn build(&self, inputs: &Inputs, progress: &dyn Fn(&str)) -> Result<Built> {
        if let Some(built) = self.find(inputs)? {
            return Ok(built);
        }
        self.check()?;
        let begun = Instant::now();
        let keys = Keys::of(inputs)?;
        let mut made = Vec::new();
        let name = &inputs.definition.name;
        let packages = self.stage("packages", &keys.packages, name, progress, &mut made, |building| {
            self.debs.bring(&inputs.lock, || Sources::of(&inputs.definition), &self.stop, progress)?;
            progress("laying out Debian packages");
            let own = inputs.definition.mirror.is_some().then(|| Sources::of(&inputs.definition)).transpose()?;
            rootfs::lay_out(&inputs.lock, &self.debs, own.as_ref(), building, &self.stop, progress)
        })?;
        let playbooks = self.stage("playbooks", &keys.playbooks, name, progress, &mut made, |building| {
            self.apply(inputs, &inputs.plan, std::slice::from_ref(&packages), building, progress)
        })?;
        let below = [playbooks.clone(), packages.clone()];
        self.stage("audit", &keys.audit, name, progress, &mut made, |building| {
            progress("holding the root against its playbooks");
            offline::audit(&self.config.program, inputs, &below, building, &self.stop)
        })?;
        let agent = self.stage("agent", &keys.agent, name, progress, &mut made, |building| {
            progress("adding the node agent");
            install(&inputs.programs, building)
        })?;
        Ok(Built {
            key: keys.agent,
            layers: vec![agent, playbooks, packages],
            made,
            seconds: begun.elapsed().as_secs_f64(),
        })
    }

    /// What would stop a build later is found before it begins.
    fn check(&self) -> Result<()> {
        if !self.config.root {
            return Err(Error::failed(
                "building an image lays out a system's files, and only root can give them their owners",
            )
            .hint("run the same command with sudo"));
        }
        // What the builder's shell lets others read of new files is not the image's.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        let free = self.stages.free()?;
        if free < ROOM {
            return Err(Error::failed(format!(
                "the cache of built images, {}, has {} left; a build needs {}",
                self.config.cache_dir,
                Bytes(free).rounded(),
                Bytes(ROOM).rounded()
            ))
            .hint("free some space there (`stead image gc`), or name a folder with more room in STEAD_CACHE_DIR"));
        }
        Ok(())
    }

    /// Has the node agent apply a plan over these layers (topmost first).
    fn apply(
        &self,
        inputs: &Inputs,
        plan: &Plan,
        below: &[Utf8PathBuf],
        building: &Building,
        progress: &dyn Fn(&str),
    ) -> Result<()> {
        let mut on_event = |event: &TaskEvent| {
            if event.status == Status::Started {
                progress(&format!("{}: {}", event.play, event.name));
            }
        };
        let (program, agent) = (&self.config.program, &inputs.programs.node);
        let plan = (plan, &inputs.files, false);
        apply::apply(program, agent, plan, below, building, &self.stop, &mut on_event).map(drop)
    }

    fn stage(
        &self,
        kind: &'static str,
        key: &StageKey,
        image: &str,
        progress: &dyn Fn(&str),
        made: &mut Vec<&'static str>,
        make: impl FnOnce(&Building) -> Result<()>,
    ) -> Result<Utf8PathBuf> {
        if self.stages.find(key).is_none() {
            let waiting = || progress("waiting for another build of the same image");
            if let Some(building) = self.stages.begin(key, &self.stop, waiting)? {
                let begun = Instant::now();
                make(&building).with_context(|| format!("building the {kind} of image {image:?}"))?;
                building.finish(&Stage {
                    kind: kind.into(),
                    image: image.into(),
                    built_at: self.clock.now(),
                    seconds: begun.elapsed().as_secs_f64(),
                })?;
                made.push(kind);
            }
        }
        self.stages.find(key).ok_or_else(|| {
            Error::failed(format!("the {kind} of image {image:?} vanished from the cache while it was built"))
                .hint("something else removes files from the cache folder; run the command again")
        })
    }
}

/// The key of the image that these inputs make, whether it is built or not.
///
/// # Errors
/// Fails where the inputs cannot be described.
pub fn key(inputs: &Inputs) -> Result<StageKey> {
    Ok(Keys::of(inputs)?.agent)
}

/// The key of the disk that these inputs make; none where they make none.
///
/// # Errors
/// Fails where the inputs cannot be described.
pub fn disk_key(inputs: &Inputs) -> Result<Option<StageKey>> {
    Ok(Keys::of(inputs)?.disk.map(|disk| disk.format))
}

/// The agent's version lies beside others that may come later; none is overwritten.
fn install(programs: &Programs, building: &Building) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let root = building.root();
    let version = Utf8Path::new("/var/lib/stead/agents").join(&programs.node.sha256);
    put(&programs.node, &root.join(version.as_str().trim_start_matches('/')), "stead-node")?;
    // The uppermost layer's folder is the one that is seen: what the playbooks made of it holds here as well.
    fs_err::set_permissions(root.join("var/lib/stead"), std::fs::Permissions::from_mode(0o700))?;
    fs_err::create_dir_all(root.join("usr/lib/stead"))?;
    // For units, which need one name for it.
    fs_err::os::unix::fs::symlink(version.join("stead-node"), root.join("usr/lib/stead/stead-node"))?;
    put(&programs.workload, &root.join("usr/lib/stead"), "stead-agent")
}

fn put(program: &Program, dir: &Utf8Path, name: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs_err::create_dir_all(dir)?;
    let file = dir.join(name);
    fs_err::write(&file, &program.bytes)?;
    fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}
