//! GRUB for BIOS machines, written where a BIOS looks for it, without a loop device.
//!
//! `grub-bios-setup` wants a block device to do this on. What it does is little: the boot sector learns where the core
//! begins, and the core's first sector where the rest of it lies (GRUB's `include/grub/i386/pc/boot.h`, `util/setup.c`).

use std::io::{Seek, SeekFrom, Write};

use camino::Utf8Path;

use super::{BIOS_BOOT, ESP, SECTOR};
use crate::image::stop::Stop;
use crate::image::tools::Tools;
use crate::{Error, Result};

/// What the boot sector may hold before the partition table's part begins.
const BOOT_CODE: usize = 440;
/// Where the boot sector is told the core's first sector (`GRUB_BOOT_MACHINE_KERNEL_SECTOR`).
const KERNEL_SECTOR: usize = 0x5c;
/// Where it would jump to a check of the drive's number, for old BIOSes (`GRUB_BOOT_MACHINE_DRIVE_CHECK`).
const DRIVE_CHECK: usize = 0x66;
/// Where the core's first sector lists the rest: a start, a length, a segment, backwards from its end.
const BLOCK_LIST: usize = SECTOR as usize - 12;
/// Where the rest is loaded to (`GRUB_BOOT_MACHINE_KERNEL_SEG` and one sector).
const SEGMENT: u16 = 0x820;

/// What the core needs to find the root, read its settings and start a kernel.
const MODULES: [&str; 14] = [
    "biosdisk",
    "part_gpt",
    "ext2",
    "search_fs_uuid",
    "normal",
    "configfile",
    "linux",
    "test",
    "echo",
    "serial",
    "terminal",
    "gzio",
    "minicmd",
    "all_video",
];

/// GRUB's settings until it has found the root's.
pub(super) fn first_settings(root: &uuid::Uuid) -> String {
    format!("search.fs_uuid {root} root\nset prefix=($root)/boot/grub\n")
}

/// Writes GRUB into the disk in `file`.
///
/// # Errors
/// Fails where GRUB's image cannot be made or the disk cannot be written.
pub(super) fn install(
    file: &mut fs_err::File,
    root: &uuid::Uuid,
    tools: &Tools,
    scratch: &Utf8Path,
    stop: &Stop,
) -> Result<()> {
    let (settings, image) = (scratch.join("first.cfg"), scratch.join("core.img"));
    fs_err::write(&settings, first_settings(root))?;
    let modules = tools.file("usr/lib/grub/i386-pc");
    let mut command = tools.command("usr/bin/grub-mkimage")?;
    command.args(["-O", "i386-pc", "-p", "/boot/grub", "-d", modules.as_str(), "-c", settings.as_str()]);
    command.args(["-o", image.as_str()]).args(MODULES);
    tools.run(&mut command, stop)?;
    let (boot, core) = patched(fs_err::read(modules.join("boot.img"))?, fs_err::read(&image)?)?;
    file.write_all(&boot)?;
    file.seek(SeekFrom::Start(BIOS_BOOT * SECTOR))?;
    file.write_all(&core)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(())
}

/// The boot sector's code and the core, each told where the next piece lies.
fn patched(mut boot: Vec<u8>, mut core: Vec<u8>) -> Result<(Vec<u8>, Vec<u8>)> {
    let sectors = (core.len() as u64).div_ceil(SECTOR);
    if boot.len() < BOOT_CODE || core.len() <= SECTOR as usize || sectors > ESP - BIOS_BOOT {
        return Err(Error::failed("GRUB's image has not the size that is expected of it"));
    }
    boot.truncate(BOOT_CODE);
    boot[KERNEL_SECTOR..][..8].copy_from_slice(&BIOS_BOOT.to_le_bytes());
    boot[DRIVE_CHECK..][..2].copy_from_slice(&[0x90, 0x90]);
    #[expect(clippy::cast_possible_truncation, reason = "held against the partition's length above")]
    let rest = (sectors - 1) as u16;
    core[BLOCK_LIST..][..8].copy_from_slice(&(BIOS_BOOT + 1).to_le_bytes());
    core[BLOCK_LIST + 8..][..2].copy_from_slice(&rest.to_le_bytes());
    core[BLOCK_LIST + 10..][..2].copy_from_slice(&SEGMENT.to_le_bytes());
    Ok((boot, core))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_piece_knows_the_next() {
        let (boot, core) = patched(vec![1; 512], vec![2; 1500]).unwrap();
        assert_eq!(boot.len(), BOOT_CODE);
        assert_eq!(u64::from_le_bytes(boot[0x5c..0x64].try_into().unwrap()), 2048);
        assert_eq!(u64::from_le_bytes(core[500..508].try_into().unwrap()), 2049);
        assert_eq!(u16::from_le_bytes(core[508..510].try_into().unwrap()), 2, "1500 bytes are three sectors");
        assert!(patched(vec![0; 512], vec![0; 2 << 20]).is_err(), "does not fit its partition");
        assert!(patched(vec![0; 10], vec![0; 1500]).is_err());
    }
}
