//! Bootable disks, laid out on plain files: no loop device, no mount, no KVM.
//!
//! ```text
//! sector      0   protective MBR, with GRUB's boot sector for BIOS machines
//!             1   GPT
//!          2048   14  BIOS boot partition: GRUB's core
//!          4096   15  EFI system partition: shim and GRUB, signed by Debian's key
//!        102400    1  the root: ext4
//!           end       on the machine's own disk: the data volume, made at the first boot
//! ```
//!
//! The numbers are those of Debian's own cloud images.

pub mod archive;
pub mod bios;
pub mod esp;
pub mod filesystem;
pub mod formats;
pub mod initrd;
pub mod layout;
pub mod pack;

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::definition::{Definition, Disk, Suite};
use crate::fleet::FileSet;
use crate::wire::plan::Plan;
use crate::{Error, Result};

/// Bytes in a sector, as the partition table counts.
pub const SECTOR: u64 = 512;
/// Where the BIOS boot partition begins, in sectors.
const BIOS_BOOT: u64 = 2048;
/// Where the EFI system partition begins, in sectors.
const ESP: u64 = 4096;
/// Where the root begins, in sectors.
const ROOT: u64 = 102_400;
/// What the table's copy at the end needs, rounded up to where partitions may end, in sectors.
const END: u64 = 2048;

/// The playbook that makes a root bootable.
const PLAYBOOK: &str = "image/disk";

/// The packages that a disk of this suite needs beside those that are asked for.
pub fn packages(suite: Suite, arch: &str, asked: &BTreeSet<&str>) -> Vec<&'static str> {
    let mut packages = vec!["cryptsetup-bin", "e2fsprogs", "initramfs-tools", "zstd"];
    if suite != Suite::Bookworm {
        // In Debian 12 it is part of systemd itself.
        packages.push("systemd-repart");
    }
    if !asked.iter().any(|name| name.starts_with("linux-image-")) {
        packages.push(if arch == "arm64" { "linux-image-cloud-arm64" } else { "linux-image-cloud-amd64" });
    }
    packages
}

impl Disk {
    /// The root's size, in bytes: what the disk has left.
    ///
    /// # Errors
    /// Fails where nothing is left.
    pub fn root_size(&self) -> Result<u64> {
        // File systems are made of blocks of 4 KiB.
        let left = self.size.saturating_sub((ROOT + END) * SECTOR) / 4096 * 4096;
        if left < 256 << 20 {
            return Err(Error::input("the disk has no room for a root").hint("`disk: {size: 4GiB, …}` is usual"));
        }
        Ok(left)
    }
}

/// The names that a disk's parts have of their own. The same for every build of an image, so that what names them (the boot
/// loader's settings, fstab) does not change either.
#[derive(Debug, Clone)]
pub struct Names {
    image: String,
}

impl Names {
    /// The names for an image.
    pub fn of(definition: &Definition) -> Self {
        Self { image: format!("{}/{}", definition.name, definition.arch) }
    }

    /// The UUID of a part (RFC 9562, version 8: made from the image's name).
    pub fn uuid(&self, part: &str) -> Uuid {
        let hash = Sha256::digest(format!("stead disk {}/{part}", self.image));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// The serial number of the EFI system partition.
    pub fn serial(&self) -> String {
        self.uuid("esp-serial").simple().to_string()[..8].to_owned()
    }
}

/// What makes a root bootable: boot loader's settings, fstab, the data volume.
///
/// # Errors
/// Fails with the mistakes of the playbook, where the fleet has its own.
pub fn plan(files: &FileSet, definition: &Definition) -> Result<Plan> {
    let names = Names::of(definition);
    let vars = serde_json::Map::from_iter([
        ("image".to_owned(), definition.name.clone().into()),
        ("suite".to_owned(), definition.suite.name().into()),
        ("root_uuid".to_owned(), names.uuid("root-fs").to_string().into()),
    ]);
    crate::playbook::compile(files, &[PLAYBOOK.to_owned()], vars)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_is_asked_for_is_the_only_one() {
        let kernels = |asked: &[&'static str]| {
            let asked = asked.iter().copied().collect();
            packages(Suite::Trixie, "amd64", &asked).into_iter().filter(|name| name.starts_with("linux-")).count()
        };
        assert_eq!(kernels(&[]), 1);
        assert_eq!(kernels(&["linux-image-amd64"]), 0);
    }

    #[test]
    fn what_ships_makes_a_root_bootable() {
        let files = FileSet::shipped();
        let definition = Definition::load(&files, "agent-node").unwrap();
        let names = Names::of(&definition);
        assert_eq!(names.uuid("root-fs"), Names::of(&definition).uuid("root-fs"));
        assert_ne!(names.uuid("root-fs"), names.uuid("root"));
        let plan = serde_json::to_string(&plan(&files, &definition).unwrap()).unwrap();
        assert!(plan.contains(&names.uuid("root-fs").to_string()));
        initrd::plan(&files, 0).unwrap();
    }

    #[test]
    fn a_disk_too_small_for_anything_is_told() {
        let disk = |size| Disk { size, firmware: Vec::new(), format: "raw".into() };
        assert!(disk(1 << 20).root_size().is_err());
        let root = disk(4 << 30).root_size().unwrap();
        assert!(root < 4 << 30 && root % 4096 == 0);
    }
}
