//! The root's file system, made from a tar stream of its files.

use std::process::Stdio;

use camino::{Utf8Path, Utf8PathBuf};

use super::Names;
use crate::error::Context;
use crate::fleet::scalar::Bytes;
use crate::image::contained;
use crate::image::definition::Definition;
use crate::image::stages::Building;
use crate::image::stop::Stop;
use crate::image::tools::{self, Tools};
use crate::{Error, Result};

/// What older releases' GRUB and fsck do not know yet.
const FEATURES: &str = "^metadata_csum_seed,^orphan_file";

/// Makes the file system in `file`, with the files of these layers (topmost first), whose times end at `epoch` (seconds
/// since 1970); what the image's record is made from lies beside it in the stage.
///
/// # Errors
/// Fails where a file cannot be read, where the root is larger than its place on the disk, and where `stop` ended it.
pub fn make(
    program: &Utf8Path,
    definition: &Definition,
    (layers, epoch): (&[Utf8PathBuf], i64),
    file: &Utf8Path,
    tools: &Tools,
    building: &Building,
    stop: &Stop,
) -> Result<()> {
    let disk = definition.disk.as_ref().ok_or_else(|| Error::input("the image declares no disk"))?;
    let (names, size) = (Names::of(definition), disk.root_size()?);
    let (upper, work, root) = (building.scratch("upper")?, building.scratch("work")?, building.scratch("mounted")?);
    let mut pack = contained::command(program)?;
    pack.args(["internal", "overlay"]);
    for layer in layers {
        pack.args(["--layer", layer.as_str()]);
    }
    pack.args(["--upper", upper.as_str(), "--work", work.as_str(), "--root", root.as_str(), "--"])
        .args([program.as_str(), "internal", "pack", "--epoch", &epoch.to_string()])
        .args(["--record", building.root().as_str(), root.as_str()])
        .stdout(Stdio::piped());
    let mut packing = stop.spawn(&mut pack).context("reading the root's files")?;
    drop(packing.child().stdin.take());
    let stream = packing.child().stdout.take().ok_or_else(|| Error::failed("no pipe from a helper"))?;

    let mut command = tools.command("usr/sbin/mke2fs")?;
    command
        .args(["-q", "-t", "ext4", "-b", "4096", "-L", "root", "-O", FEATURES, "-m", "1"])
        .args(["-U", &names.uuid("root-fs").to_string()])
        // Of several -E only the last one counts.
        .args([
            "-E",
            &format!("hash_seed={},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0", names.uuid("hash")),
        ])
        .args(["-d", "-", file.as_str(), &format!("{}k", size / 1024)])
        .stdin(stream);
    let made = stop.spawn(&mut command).context("making the root's file system")?.output()?;
    // It holds the pipe's other end, without which the helper would not end.
    drop(command);
    let packed = packing.output()?;
    if !made.status.success() && said_full(&made.stderr) {
        return Err(Error::failed(format!(
            "the image does not fit its disk: the root has {} for its files",
            Bytes(size).rounded()
        ))
        .hint(format!(
            "give the disk of images/{}/image.yaml a larger `size`, or the image fewer packages",
            definition.name
        )));
    }
    tools::finished(&tools.command("usr/sbin/mke2fs")?, made.status, &made.stderr)?;
    if !packed.status.success() {
        let said = String::from_utf8_lossy(&packed.stderr);
        return Err(Error::failed("reading the root's files failed").because(crate::tool::tail(&said, 8)));
    }
    Ok(())
}

fn said_full(said: &[u8]) -> bool {
    let said = String::from_utf8_lossy(said);
    ["Could not allocate block", "Could not allocate inode", "No free space"].iter().any(|needle| said.contains(needle))
}
