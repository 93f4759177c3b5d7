//! The EFI system partition: shim and GRUB with Debian's signatures, at the place of removable media (UEFI 2.10, 3.5.1.1),
//! so that a machine finds them without an entry of its own.

use camino::{Utf8Path, Utf8PathBuf};

use super::{ESP, Names, ROOT, SECTOR};
use crate::Result;
use crate::image::stop::Stop;
use crate::image::tools::Tools;

/// Makes the partition's content as a file in `scratch`.
///
/// # Errors
/// Fails as the tools do.
pub(super) fn make(names: &Names, arch: &str, tools: &Tools, scratch: &Utf8Path, stop: &Stop) -> Result<Utf8PathBuf> {
    let image = scratch.join("esp.img");
    fs_err::File::create(&image)?.set_len((ROOT - ESP) * SECTOR)?;
    let mut command = tools.command("usr/sbin/mkfs.fat")?;
    // FAT32 is the one type that every firmware must read; --invariant leaves time and chance out of it.
    command.args(["--invariant", "-F", "32", "-n", "ESP", "-i", &names.serial(), image.as_str()]);
    tools.run(&mut command, stop)?;

    let tree = scratch.join("esp");
    let (boot, debian) = (tree.join("EFI/BOOT"), tree.join("EFI/debian"));
    fs_err::create_dir_all(&boot)?;
    fs_err::create_dir_all(&debian)?;
    let (short, suffix) = if arch == "arm64" { ("AA64", "aa64") } else { ("X64", "x64") };
    let platform = if arch == "arm64" { "arm64" } else { "x86_64" };
    fs_err::copy(tools.file(&format!("usr/lib/shim/shim{suffix}.efi.signed")), boot.join(format!("BOOT{short}.EFI")))?;
    fs_err::copy(tools.file(&format!("usr/lib/shim/mm{suffix}.efi.signed")), boot.join(format!("mm{suffix}.efi")))?;
    let grub = format!("usr/lib/grub/{platform}-efi-signed/grub{suffix}.efi.signed");
    fs_err::copy(tools.file(&grub), boot.join(format!("grub{suffix}.efi")))?;
    // The signed GRUB looks for its settings here and nowhere else.
    let settings = super::bios::first_settings(&names.uuid("root-fs"));
    fs_err::write(debian.join("grub.cfg"), settings + "configfile $prefix/grub.cfg\n")?;

    // One file after the other, since a folder's own order is that of the file system it lies on.
    let mut command = tools.command("usr/bin/mmd")?;
    command.args(["-i", image.as_str(), "::EFI", "::EFI/BOOT", "::EFI/debian"]);
    tools.run(&mut command, stop)?;
    for dir in ["EFI/BOOT", "EFI/debian"] {
        let mut names: Vec<_> = tree.join(dir).read_dir_utf8()?.collect::<std::io::Result<_>>()?;
        names.sort_by(|a, b| a.file_name().cmp(b.file_name()));
        let mut command = tools.command("usr/bin/mcopy")?;
        command.args(["-i", image.as_str()]).args(names.iter().map(|entry| entry.path())).arg(format!("::{dir}/"));
        tools.run(&mut command, stop)?;
    }
    Ok(image)
}
