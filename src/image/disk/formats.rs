//! The disk in the form that its provider takes.

use camino::Utf8Path;

use crate::Result;
use crate::image::definition::Disk;
use crate::image::stop::Stop;
use crate::image::tools::Tools;

/// How hard zstd works on a raw disk. Nightly builds have time, and every node fetches the result.
const LEVEL: &str = "-10";

/// The disk's file name in its format.
pub fn file_name(disk: &Disk) -> &'static str {
    if disk.format == "raw" { "disk.raw.zst" } else { "disk.qcow2" }
}

/// Writes the raw disk in `raw` in the format of `disk` into the folder `dir`.
///
/// # Errors
/// Fails as the tools do.
pub fn convert(disk: &Disk, raw: &Utf8Path, dir: &Utf8Path, tools: &Tools, stop: &Stop) -> Result<()> {
    let file = dir.join(file_name(disk));
    let mut command = if disk.format == "raw" {
        let mut command = tools.command("usr/bin/zstd")?;
        command.args(["-q", "-T0", LEVEL, raw.as_str(), "-o", file.as_str()]);
        command
    } else {
        let mut command = tools.command("usr/bin/qemu-img")?;
        command.args(["convert", "-q", "-f", "raw", "-O", "qcow2", "-c", "-m", "8"]);
        command.args(["-o", "compression_type=zstd", raw.as_str(), file.as_str()]);
        command
    };
    tools.run(&mut command, stop)
}
