//! From an image's root to a bootable disk:
//!
//! 1. `boot`: what makes the root bootable (fstab, the boot loader's settings), a layer over the playbooks'.
//! 2. `initrd`: the initial RAM disk, by a key of what it is made from alone: a changed playbook seldom needs another.
//! 3. `filesystem`: the root's files in an ext4.
//! 4. `disk`: partition table, boot loaders, the root.
//! 5. `format`: the disk as its provider takes it.
//!
//! The tools for it are a stage as well, the same for all images.

use std::time::Instant;

use camino::Utf8PathBuf;

use super::keys::{self, DiskKeys, Keys};
use super::{Builder, Built, Inputs};
use crate::image::disk::{filesystem, formats, initrd, layout};
use crate::image::lock::Lock;
use crate::image::published::Published;
use crate::image::sources::Sources;
use crate::image::stages::StageKey;
use crate::image::tools::{self, Tools};
use crate::{Error, Result};

/// The file system's name within its stage.
const FILESYSTEM: &str = "root.ext4";
/// The raw disk's name within its stage.
const RAW: &str = "disk.raw";

/// An image's disk.
#[derive(Debug, Clone)]
pub struct BuiltDisk {
    /// The hash of all that went into it.
    pub key: StageKey,
    /// The root that it was made from.
    pub root: Built,
    /// The stage of its root's file system, with what the record is made from.
    pub filesystem: Utf8PathBuf,
    /// The disk, raw.
    pub raw: Utf8PathBuf,
    /// The disk in the format that the definition asks for.
    pub file: Utf8PathBuf,
    /// The tools that made it.
    pub tools: Tools,
    /// Which stages were made now; empty where all were stored.
    pub made: Vec<&'static str>,
    /// How long that took, in seconds.
    pub seconds: f64,
}

impl BuiltDisk {
    /// The disk in a form that an emulator takes as it is.
    pub fn bootable(&self) -> &Utf8PathBuf {
        if self.file.extension() == Some("qcow2") { &self.file } else { &self.raw }
    }
}

impl Builder<'_> {
    /// Makes what is missing of the disk, and of the root below it.
    ///
    /// # Errors
    /// As [`Builder::build`]; and where the image declares no disk, its tools have no lock, or the root does not fit.
    pub fn build_disk(&self, inputs: &Inputs, progress: &dyn Fn(&str)) -> Result<BuiltDisk> {
        let begun = Instant::now();
        let name = &inputs.definition.name;
        let all = Keys::of(inputs)?;
        let (Some(declared), Some(parts), Some(keys)) = (&inputs.definition.disk, &inputs.disk, all.disk.clone())
        else {
            return Err(Error::input(format!("the image {name:?} declares no disk"))
                .hint("`disk: {size: 4GiB}` in its image.yaml makes one"));
        };
        let published = Published::new(&self.config.cache_dir);
        if let Some(found) = self.find_disk(inputs, &keys)? {
            published.put(&found.key, found.bootable())?;
            return Ok(found);
        }
        self.check()?;
        // Two things that do not wait for each other; the root has more to tell.
        let (root, tools) = std::thread::scope(|scope| {
            let tools = scope.spawn(|| {
                let mut made = Vec::new();
                self.tools(&keys, inputs, &|_| {}, &mut made).map(|tools| (tools, made))
            });
            (self.build(inputs, progress), tools.join())
        });
        let root = root?;
        let (tools, unpacked) = tools.map_err(|_| Error::failed("unpacking the disk's tools ended unexpectedly"))??;
        let mut made = [root.made.clone(), unpacked].concat();
        let [agent, playbooks, packages] = &root.layers[..] else {
            return Err(Error::failed("a root has three layers"));
        };

        let below = [playbooks.clone(), packages.clone()];
        let boot = self.stage("boot", &keys.boot, name, progress, &mut made, |building| {
            self.apply(inputs, &parts.plan, &below, building, progress)
        })?;
        let below = [boot.clone(), playbooks.clone(), packages.clone()];
        let initrd_key = keys::initrd(&all, &parts.initrd, &below[..2])?;
        let initrd = self.stage("initrd", &initrd_key, name, progress, &mut made, |building| {
            self.apply(inputs, &parts.initrd, &below, building, progress)?;
            initrd::keep_only(&building.root())
        })?;
        let filesystem = self.stage("filesystem", &keys.filesystem, name, progress, &mut made, |building| {
            progress("making the root's file system");
            let layers = [initrd, boot, agent.clone(), playbooks.clone(), packages.clone()];
            let (program, file) = (&self.config.program, building.root().join(FILESYSTEM));
            let files = (&layers[..], inputs.lock.date.timestamp());
            filesystem::make(program, &inputs.definition, files, &file, &tools, building, &self.stop)
        })?;
        let disk = self.stage("disk", &keys.disk, name, progress, &mut made, |building| {
            progress("laying out the disk");
            let (root, file, scratch) =
                (filesystem.join(FILESYSTEM), building.root().join(RAW), building.scratch("parts")?);
            layout::lay_out(&inputs.definition, &root, &file, &tools, &scratch, &self.stop)
        })?;
        let format = self.stage("format", &keys.format, name, progress, &mut made, |building| {
            progress("compressing the disk");
            formats::convert(declared, &disk.join(RAW), &building.root(), &tools, &self.stop)
        })?;
        let built = BuiltDisk {
            key: keys.format,
            root,
            filesystem,
            raw: disk.join(RAW),
            file: format.join(formats::file_name(declared)),
            tools,
            made,
            seconds: begun.elapsed().as_secs_f64(),
        };
        published.put(&built.key, built.bootable())?;
        Ok(built)
    }

    /// The disk, if all of it is stored.
    fn find_disk(&self, inputs: &Inputs, keys: &DiskKeys) -> Result<Option<BuiltDisk>> {
        let Some(declared) = &inputs.definition.disk else { return Ok(None) };
        let [filesystem, disk, format] = [&keys.filesystem, &keys.disk, &keys.format].map(|key| self.stages.find(key));
        let tools = self.stages.find(&keys.tools).map(|root| Tools::new(root, inputs.lock.date.timestamp()));
        let (Some(root), Some(filesystem), Some(disk), Some(format), Some(tools)) =
            (self.find(inputs)?, filesystem, disk, format, tools)
        else {
            return Ok(None);
        };
        let (key, made) = (keys.format.clone(), Vec::new());
        let (raw, file) = (disk.join(RAW), format.join(formats::file_name(declared)));
        Ok(Some(BuiltDisk { key, root, filesystem, raw, file, tools, made, seconds: 0.0 }))
    }

    /// The tools that lay out disks.
    fn tools(
        &self,
        keys: &DiskKeys,
        inputs: &Inputs,
        progress: &dyn Fn(&str),
        made: &mut Vec<&'static str>,
    ) -> Result<Tools> {
        let lock = inputs.disk.as_ref().and_then(|parts| parts.tools.as_ref());
        let lock = lock.ok_or_else(|| Error::failed("the disk's tools have no lock"))?;
        let root = self.unpacked(lock, &keys.tools, tools::NAME, progress, made)?;
        // The image's own time, so that its bytes do not depend on when its tools were locked.
        Ok(Tools::new(root, inputs.lock.date.timestamp()))
    }

    /// A folder of programs, by its lock.
    ///
    /// # Errors
    /// Fails where a package cannot be fetched or unpacked.
    pub fn kit(&self, name: &str, lock: &Lock, progress: &dyn Fn(&str)) -> Result<Tools> {
        let root = self.unpacked(lock, &keys::kit(lock)?, name, progress, &mut Vec::new())?;
        Ok(Tools::new(root, lock.date.timestamp()))
    }

    fn unpacked(
        &self,
        lock: &Lock,
        key: &StageKey,
        name: &str,
        progress: &dyn Fn(&str),
        made: &mut Vec<&'static str>,
    ) -> Result<Utf8PathBuf> {
        self.stage("tools", key, name, progress, made, |building| {
            self.debs.bring(lock, Sources::of_host, &self.stop, progress)?;
            progress("unpacking programs");
            tools::unpack(lock, &self.debs, &building.root(), &self.stop)
        })
    }
}
