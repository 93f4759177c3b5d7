//! The initial RAM disk, made inside the root by the root's own initramfs-tools.

use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest, Sha256};

use crate::error::Context;
use crate::fleet::FileSet;
use crate::wire::plan::Plan;
use crate::{Error, Result};

/// The playbook that makes it.
const PLAYBOOK: &str = "image/initrd";
/// What the stage keeps of the changes in the root.
const KEPT: [&str; 2] = ["boot", "var/lib/initramfs-tools"];
/// What of `/etc` initramfs-tools and its hooks look at. A change of anything else needs no new initrd.
const SETTINGS: [&str; 12] = [
    "cryptsetup-initramfs",
    "crypttab",
    "default",
    "fstab",
    "initramfs-tools",
    "kernel",
    "ld.so.conf.d",
    "lvm",
    "mdadm",
    "modprobe.d",
    "modules",
    "udev",
];

/// What makes it, with no time in it but `epoch` (seconds since 1970).
///
/// # Errors
/// Fails with the mistakes of the playbook, where the fleet has its own.
pub fn plan(files: &FileSet, epoch: i64) -> Result<Plan> {
    let vars = serde_json::Map::from_iter([("epoch".to_owned(), epoch.to_string().into())]);
    crate::playbook::compile(files, &[PLAYBOOK.to_owned()], vars)
}

/// A hash of all that these layers change of what an initrd is made from.
///
/// # Errors
/// Fails where a layer cannot be read.
pub fn inputs(layers: &[Utf8PathBuf]) -> Result<String> {
    let mut hash = Sha256::new();
    for layer in layers {
        for name in SETTINGS {
            feed(&mut hash, &layer.join("etc").join(name), layer)?;
        }
        for name in ["usr", "lib"] {
            feed(&mut hash, &layer.join(name), layer)?;
        }
    }
    Ok(hex::encode(hash.finalize()))
}

fn feed(hash: &mut Sha256, path: &Utf8Path, layer: &Utf8Path) -> Result<()> {
    let found = match path.symlink_metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).context(format!("reading {path}")),
    };
    let name = path.strip_prefix(layer).unwrap_or(path);
    hash.update(format!("{name}\0{:?}\0", found.file_type()));
    if found.is_dir() {
        let mut names: Vec<_> = path.read_dir_utf8()?.collect::<std::io::Result<_>>()?;
        names.sort_by(|a, b| a.file_name().cmp(b.file_name()));
        names.iter().try_for_each(|entry| feed(hash, entry.path(), layer))
    } else if found.is_symlink() {
        hash.update(fs_err::read_link(path)?.as_os_str().as_encoded_bytes());
        Ok(())
    } else if found.is_file() {
        hash.update(fs_err::read(path)?);
        Ok(())
    } else {
        // A removal of what lies below, as overlayfs writes it down.
        Ok(())
    }
}

/// Removes from the stage all that is not the initrd, so that it can lie over other roots with the same inputs.
///
/// # Errors
/// Fails where there is none, and as the file system does.
pub fn keep_only(root: &Utf8Path) -> Result<()> {
    let mut made = false;
    for entry in root.join("boot").read_dir_utf8().context("looking for the initrd")? {
        made |= entry?.file_name().starts_with("initrd.img-");
    }
    if !made {
        return Err(Error::failed("update-initramfs made no initrd").hint("the image has no kernel in /boot"));
    }
    prune(root, root)
}

fn prune(dir: &Utf8Path, root: &Utf8Path) -> Result<()> {
    for entry in dir.read_dir_utf8()? {
        let entry = entry?;
        let inner = entry.path().strip_prefix(root).unwrap_or(entry.path());
        let top_link = inner.parent().is_some_and(|parent| parent.as_str().is_empty())
            && ["initrd.img", "vmlinuz"].iter().any(|link| inner.as_str().starts_with(link));
        if top_link || KEPT.iter().any(|kept| inner.starts_with(kept)) {
            continue;
        }
        if entry.file_type()?.is_dir() && KEPT.iter().any(|kept| Utf8Path::new(kept).starts_with(inner)) {
            prune(entry.path(), root)?;
        } else if entry.file_type()?.is_dir() {
            fs_err::remove_dir_all(entry.path())?;
        } else {
            fs_err::remove_file(entry.path())?;
        }
    }
    Ok(())
}
