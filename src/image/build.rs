//! From a definition to layers that nodes start from.
//!
//! Three layers, each with a key made of all that goes into it, so that only what changed is made again:
//!
//! 1. `packages`: Debian's packages. Slow, and rarely another.
//! 2. `playbooks`: what the definition's overlay and playbooks change. Seconds.
//! 3. `agent`: the programs that run on nodes. A new build of them makes this layer only.

use std::time::Instant;

use camino::Utf8PathBuf;

use super::definition::Definition;
use super::layers::{Building, Layer, LayerKey, Layers};
use super::programs::{Program, Programs};
use super::rootfs::{self, Recipe};
use super::sources::Sources;
use super::stage;
use super::stop::Stop;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::Context;
use crate::fleet::FileSet;
use crate::fleet::scalar::Bytes;
use crate::wire::plan::{Plan, Status, TaskEvent};
use crate::{Error, Result};

/// Raised when the way layers are made changes, so that old ones are not taken for new.
const RECIPE: u32 = 1;

/// Room that a build needs at most, in bytes: the packages, unpacked, and as they were downloaded.
pub const ROOM: u64 = 1 << 30;

/// An image, ready to start nodes from.
#[derive(Debug, Clone)]
pub struct Built {
    /// The hash of all that went into it.
    pub key: LayerKey,
    /// Its layers, topmost first.
    pub layers: Vec<Utf8PathBuf>,
    /// Which layers were made now; empty where all were stored.
    pub made: Vec<&'static str>,
    /// How long that took, in seconds.
    pub seconds: f64,
}

impl Built {
    /// How much the layers' files hold, in bytes.
    ///
    /// # Errors
    /// Fails where a layer cannot be read.
    pub fn size(&self) -> Result<u64> {
        self.layers.iter().map(|layer| size_of(layer)).sum()
    }
}

fn size_of(dir: &camino::Utf8Path) -> Result<u64> {
    let mut size = 0;
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        // Not followed: a link out of the layer is not the layer's.
        let metadata = entry.metadata()?;
        size += if metadata.is_dir() {
            // Names on a system's disk are bytes; what is not UTF-8 is too rare to be worth another path type.
            camino::Utf8PathBuf::from_path_buf(entry.path()).map_or(Ok(0), |dir| size_of(&dir))?
        } else {
            metadata.len()
        };
    }
    Ok(size)
}

/// All that goes into an image.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The definition.
    pub definition: Definition,
    /// The definition's overlay and playbooks, compiled.
    pub plan: Plan,
    /// The fleet's files, with the content that the plan only names.
    pub files: FileSet,
    /// The programs for its architecture.
    pub programs: Programs,
}

/// Makes images, and finds those made before.
pub struct Builder<'a> {
    config: &'a Config,
    clock: &'a dyn Clock,
    layers: Layers,
    stop: Stop,
}

/// A layer, and whether a build would make it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Planned {
    /// `packages`, `playbooks`, `agent`.
    pub kind: &'static str,
    /// The hash of all that goes into it.
    pub key: LayerKey,
    /// Whether it is stored already; a build then takes it as it is.
    pub stored: bool,
    /// Why it would be made; none where it is stored.
    pub reason: Option<&'static str>,
}

struct Keys {
    packages: LayerKey,
    playbooks: LayerKey,
    agent: LayerKey,
}

impl<'a> Builder<'a> {
    /// A builder with the machine's cache of layers.
    pub fn new(config: &'a Config, clock: &'a dyn Clock) -> Self {
        Self { layers: Layers::new(&config.cache_dir), config, clock, stop: Stop::default() }
    }

    /// Lets `stop` end what this builder builds.
    #[must_use]
    pub fn with_stop(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    /// The image, if all its layers are stored.
    ///
    /// # Errors
    /// Fails where the inputs cannot be described.
    pub fn find(&self, inputs: &Inputs) -> Result<Option<Built>> {
        let keys = keys(inputs)?;
        let layers = [&keys.agent, &keys.playbooks, &keys.packages].map(|key| self.layers.find(key));
        let layers = layers.into_iter().collect::<Option<Vec<_>>>();
        Ok(layers.map(|layers| Built { key: keys.agent, layers, made: Vec::new(), seconds: 0.0 }))
    }

    /// What [`Builder::build`] would take and make, lowest layer first.
    ///
    /// # Errors
    /// Fails where the inputs cannot be described.
    pub fn plan(&self, inputs: &Inputs) -> Result<Vec<Planned>> {
        let keys = keys(inputs)?;
        let mut below_is_new = false;
        let layers = [
            ("packages", keys.packages, "no stored layer has this suite and these packages"),
            ("playbooks", keys.playbooks, "no stored layer has this overlay and these playbooks"),
            ("agent", keys.agent, "no stored layer has these builds of stead-node and stead-agent"),
        ];
        Ok(layers
            .into_iter()
            .map(|(kind, key, unknown)| {
                let stored = self.layers.find(&key).is_some();
                let reason = if below_is_new { "the layer below it is new" } else { unknown };
                below_is_new |= !stored;
                Planned { kind, key, stored, reason: (!stored).then_some(reason) }
            })
            .collect())
    }

    /// Makes what is missing. `progress` is told what is being done, in a few words.
    ///
    /// # Errors
    /// Fails without root, without mmdebstrap, where a stage fails, or where it is stopped; what is stored by then stays stored, and nothing
    /// half-made does.
    pub fn build(&self, inputs: &Inputs, progress: &dyn Fn(&str)) -> Result<Built> {
        if let Some(built) = self.find(inputs)? {
            return Ok(built);
        }
        if !self.config.root {
            return Err(Error::failed(
                "building an image lays out a system's files, and only root can give them their owners",
            )
            .hint("run the same command with sudo"));
        }
        let free = self.layers.free()?;
        if free < ROOM {
            return Err(Error::failed(format!(
                "the cache of built images, {}, has {} left; a build needs {}",
                self.config.cache_dir,
                Bytes(free).rounded(),
                Bytes(ROOM).rounded()
            ))
            .hint("free some space there, or name a folder with more room in STEAD_CACHE_DIR"));
        }
        let begun = Instant::now();
        let keys = keys(inputs)?;
        let mut made = Vec::new();
        let packages = self.layer("packages", &keys.packages, inputs, progress, &mut made, |building| {
            progress("laying out Debian packages");
            let sources = match &inputs.definition.mirror {
                Some(mirror) => Sources { archive: mirror.archive.clone(), security: mirror.security.clone() },
                None => Sources::of_host()?,
            };
            rootfs::lay_out(&recipe(&inputs.definition, &sources), &building.root(), &self.stop, progress)
        })?;
        let playbooks = self.layer("playbooks", &keys.playbooks, inputs, progress, &mut made, |building| {
            let mut on_event = |event: &TaskEvent| {
                if event.status == Status::Started {
                    progress(&format!("{}: {}", event.play, event.name));
                }
            };
            let below = [packages.clone()];
            let (program, agent) = (&self.config.program, &inputs.programs.node);
            let plan = (&inputs.plan, &inputs.files);
            stage::apply(program, agent, plan, &below, building, &self.stop, &mut on_event).map(|_| ())
        })?;
        let agent = self.layer("agent", &keys.agent, inputs, progress, &mut made, |building| {
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

    fn layer(
        &self,
        kind: &'static str,
        key: &LayerKey,
        inputs: &Inputs,
        progress: &dyn Fn(&str),
        made: &mut Vec<&'static str>,
        make: impl FnOnce(&Building) -> Result<()>,
    ) -> Result<Utf8PathBuf> {
        if self.layers.find(key).is_none() {
            let waiting = || progress("waiting for another build of the same image");
            if let Some(building) = self.layers.begin(key, &self.stop, waiting)? {
                let begun = Instant::now();
                let name = &inputs.definition.name;
                make(&building).with_context(|| format!("building the {kind} of image {name:?}"))?;
                building.finish(&Layer {
                    kind: kind.into(),
                    image: name.clone(),
                    built_at: self.clock.now(),
                    seconds: begun.elapsed().as_secs_f64(),
                })?;
                made.push(kind);
            }
        }
        self.layers.find(key).ok_or_else(|| {
            Error::failed(format!(
                "the {kind} of image {:?} vanished from the cache while it was built",
                inputs.definition.name
            ))
            .hint("something else removes files from the cache folder; run the command again")
        })
    }
}

/// The key of the image that these inputs make, whether it is built or not.
///
/// # Errors
/// Fails where the inputs cannot be described.
pub fn key(inputs: &Inputs) -> Result<LayerKey> {
    Ok(keys(inputs)?.agent)
}

fn keys(inputs: &Inputs) -> Result<Keys> {
    // The archives are not part of the key, so any will do to describe the recipe.
    let sources = Sources { archive: String::new(), security: String::new() };
    let packages = LayerKey::new("packages", None, &(RECIPE, recipe(&inputs.definition, &sources)))?;
    let playbooks = LayerKey::new("playbooks", Some(&packages), &(RECIPE, &inputs.plan))?;
    let Programs { arch, node, workload } = &inputs.programs;
    let agent = LayerKey::new("agent", Some(&playbooks), &(RECIPE, arch, &node.sha256, &workload.sha256))?;
    Ok(Keys { packages, playbooks, agent })
}

fn recipe<'a>(definition: &'a Definition, sources: &'a Sources) -> Recipe<'a> {
    let mut packages: Vec<&str> =
        rootfs::PACKAGES.into_iter().chain(definition.packages.iter().map(String::as_str)).collect();
    packages.sort_unstable();
    packages.dedup();
    Recipe { suite: definition.suite.name(), arch: &definition.arch, packages, sources }
}

/// The agent's version lies beside others that may come later; none is overwritten.
fn install(programs: &Programs, building: &Building) -> Result<()> {
    let root = building.root();
    put(&programs.node, &root.join("var/lib/stead/agents").join(&programs.node.sha256), "stead-node")?;
    put(&programs.workload, &root.join("usr/lib/stead"), "stead-agent")
}

fn put(program: &Program, dir: &camino::Utf8Path, name: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs_err::create_dir_all(dir)?;
    let file = dir.join(name);
    fs_err::write(&file, &program.bytes)?;
    fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}
