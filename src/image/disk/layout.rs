//! The disk: a partition table, with its parts put in their places.

use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::process::Stdio;

use camino::Utf8Path;

use super::{BIOS_BOOT, ESP, Names, ROOT, SECTOR, bios, esp};
use crate::error::Context;
use crate::image::definition::Definition;
use crate::image::stop::Stop;
use crate::image::tools::{self, Tools};
use crate::{Error, Result};

/// Partition types (UEFI 2.10, 5.3.3; Discoverable Partitions Specification).
const TYPE_BIOS_BOOT: &str = "21686148-6449-6E6F-744E-656564454649";
const TYPE_ESP: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
const TYPE_ROOT_AMD64: &str = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709";
const TYPE_ROOT_ARM64: &str = "B921B045-1DF0-41C3-AF44-4C6F280D3FAE";

/// How much is looked at for holes at once, in bytes.
const PIECE: usize = 64 << 10;

/// Lays out the disk in `file`, with the root from the file system in `root`.
///
/// # Errors
/// Fails as the tools and the file system do.
pub fn lay_out(
    definition: &Definition,
    root: &Utf8Path,
    file: &Utf8Path,
    tools: &Tools,
    scratch: &Utf8Path,
    stop: &Stop,
) -> Result<()> {
    let disk = definition.disk.as_ref().ok_or_else(|| Error::input("the image declares no disk"))?;
    let names = Names::of(definition);
    let root_sectors = fs_err::metadata(root)?.len() / SECTOR;
    let boots = |firmware: &str| disk.firmware.iter().any(|declared| declared == firmware);
    let mut disk_file = fs_err::OpenOptions::new().read(true).write(true).create_new(true).open(file)?;
    disk_file.set_len(disk.size)?;

    let root_type = if definition.arch == "arm64" { TYPE_ROOT_ARM64 } else { TYPE_ROOT_AMD64 };
    let uuid = |part: &str| names.uuid(part).to_string().to_uppercase();
    let table = format!(
        "label: gpt\nlabel-id: {}\nfirst-lba: 34\nunit: sectors\n\
         14 : start={BIOS_BOOT}, size={}, type={TYPE_BIOS_BOOT}, uuid={}\n\
         15 : start={ESP}, size={}, type={TYPE_ESP}, uuid={}, name=\"ESP\"\n\
         1 : start={ROOT}, size={root_sectors}, type={root_type}, uuid={}, name=\"root\"\n",
        uuid("disk"),
        ESP - BIOS_BOOT,
        uuid("bios-boot"),
        ROOT - ESP,
        uuid("esp"),
        uuid("root"),
    );
    let mut command = tools.command("usr/sbin/sfdisk")?;
    command.args(["--quiet", "--no-reread", "--no-tell-kernel", file.as_str()]).stdin(Stdio::piped());
    let mut running = stop.spawn(&mut command)?;
    if let Some(mut stdin) = running.child().stdin.take() {
        // One that ended before it read this says why in its status.
        let _ = stdin.write_all(table.as_bytes());
    }
    let output = running.output()?;
    tools::finished(&command, output.status, &output.stderr)?;

    if boots("bios") && definition.arch == "amd64" {
        bios::install(&mut disk_file, &names.uuid("root-fs"), tools, scratch, stop)?;
    }
    if boots("uefi") {
        let esp = esp::make(&names, &definition.arch, tools, scratch, stop)?;
        put(&esp, &disk_file, ESP * SECTOR, stop)?;
    }
    put(root, &disk_file, ROOT * SECTOR, stop).context("putting the root into the disk")?;
    Ok(())
}

/// Copies a file into another at this place, leaving holes where it holds nothing but zeros.
fn put(from: &Utf8Path, to: &fs_err::File, at: u64, stop: &Stop) -> Result<()> {
    let mut from = fs_err::File::open(from)?;
    let length = from.metadata()?.len();
    let mut piece = vec![0; PIECE];
    let mut position = 0;
    while let Some(data) = next_data(&from, position, length)? {
        stop.check()?;
        // Holes end at the file system's blocks; what is in a block with data may still be zeros.
        position = data;
        from.seek(SeekFrom::Start(position))?;
        let end = rustix::fs::seek(&from, rustix::fs::SeekFrom::Hole(position)).map_err(std::io::Error::from)?;
        from.seek(SeekFrom::Start(position))?;
        while position < end {
            let wanted = piece.len().min(usize::try_from(end - position).unwrap_or(usize::MAX));
            from.read_exact(&mut piece[..wanted])?;
            if piece[..wanted].iter().any(|byte| *byte != 0) {
                to.file().write_all_at(&piece[..wanted], at + position)?;
            }
            position += wanted as u64;
        }
    }
    Ok(())
}

/// Where the next bytes lie that are not a hole.
fn next_data(file: &fs_err::File, position: u64, length: u64) -> Result<Option<u64>> {
    if position >= length {
        return Ok(None);
    }
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(position)) {
        Ok(data) => Ok(Some(data)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(error) => Err(std::io::Error::from(error).into()),
    }
}
