//! The stages' keys: which are the same as an earlier build's follows from what goes into each.

use super::{AGENT_RECIPE, Inputs, RECIPE, offline};
use crate::Result;
use crate::image::definition::Disk;
use crate::image::disk::initrd;
use crate::image::lock::Lock;
use crate::image::programs::Programs;
use crate::image::stages::StageKey;
use crate::wire::plan::Plan;
use camino::Utf8PathBuf;

/// The keys of an image's stages.
pub(super) struct Keys {
    pub(super) packages: StageKey,
    pub(super) playbooks: StageKey,
    pub(super) audit: StageKey,
    pub(super) agent: StageKey,
    pub(super) disk: Option<DiskKeys>,
}

/// The keys of a disk's stages.
#[derive(Clone)]
pub(super) struct DiskKeys {
    pub(super) tools: StageKey,
    pub(super) boot: StageKey,
    pub(super) filesystem: StageKey,
    pub(super) disk: StageKey,
    pub(super) format: StageKey,
}

impl Keys {
    /// The keys of what these inputs make. The disk's are known where its tools' lock is.
    pub(super) fn of(inputs: &Inputs) -> Result<Self> {
        let packages = StageKey::new("packages", None, &(RECIPE, &inputs.lock, &inputs.definition.mirror))?;
        let playbooks = StageKey::new("playbooks", Some(&packages), &(RECIPE, &inputs.plan))?;
        let audit = StageKey::new("audit", Some(&playbooks), &(RECIPE, offline::RULES))?;
        let Programs { arch, node, workload } = &inputs.programs;
        let agent =
            StageKey::new("agent", Some(&playbooks), &(RECIPE, AGENT_RECIPE, arch, &node.sha256, &workload.sha256))?;
        let declared = inputs.definition.disk.as_ref().zip(inputs.disk.as_ref());
        let disk = match declared.and_then(|(declared, parts)| Some((declared, parts, parts.tools.as_ref()?))) {
            None => None,
            Some((declared, parts, lock)) => {
                let Disk { size, firmware, format } = declared;
                let tools = kit(lock)?;
                let boot = StageKey::new("boot", Some(&playbooks), &(RECIPE, &parts.plan))?;
                let below = (&boot, &parts.initrd, &tools);
                let filesystem = StageKey::new("filesystem", Some(&agent), &(RECIPE, below, size))?;
                let disk = StageKey::new("disk", Some(&filesystem), &(RECIPE, firmware))?;
                let format = StageKey::new("format", Some(&disk), &(RECIPE, format))?;
                Some(DiskKeys { tools, boot, filesystem, disk, format })
            }
        };
        Ok(Self { packages, playbooks, audit, agent, disk })
    }

    /// The stages in the order in which they are made, each with why it would have to be.
    pub(super) fn list(self) -> Vec<(&'static str, StageKey, &'static str)> {
        let mut list = vec![
            ("packages", self.packages, "no stored stage has this lock"),
            ("playbooks", self.playbooks, "no stored stage has this overlay and these playbooks"),
            ("audit", self.audit, "no stored report is of this root"),
            ("agent", self.agent, "no stored stage has these builds of stead-node and stead-agent"),
        ];
        if let Some(disk) = self.disk {
            list.extend([
                ("boot", disk.boot, "no stored stage has this boot loader's settings"),
                ("filesystem", disk.filesystem, "no stored file system has this size and these tools"),
                ("disk", disk.disk, "no stored disk boots from this firmware"),
                ("format", disk.format, "no stored disk has this format"),
            ]);
        }
        list
    }
}

/// The key of a folder of programs.
pub(super) fn kit(lock: &Lock) -> Result<StageKey> {
    StageKey::new("tools", None, &(RECIPE, lock))
}

/// The key of the initial RAM disk: of the packages, and of what the layers above them change of what it is made from.
pub(super) fn initrd(keys: &Keys, plan: &Plan, layers: &[Utf8PathBuf]) -> Result<StageKey> {
    StageKey::new("initrd", Some(&keys.packages), &(RECIPE, plan, initrd::inputs(layers)?))
}
