//! The auditors' programs: a folder of Debian 13's, by a lock of their own. What looks at a machine from within is copied to it
//! for the while.

use crate::error::Context;
use crate::image::definition::Definition;
use crate::image::tools::{self, Tools};
use crate::image::vm::boot_test::Booted;
use crate::{Error, Result};

/// The name that the auditors' lock has among images.
pub const NAME: &str = "auditors";

/// What the auditors' lock is made of.
pub fn definition() -> Definition {
    tools::bare(NAME, &["lynis", "ssh-audit"])
}

/// Copies parts of the kit, each a file or a folder with the name that it gets, into the folder `place` of the machine,
/// which only root can read.
pub(super) async fn send(booted: &Booted, kit: &Tools, parts: &[(&str, &str)], place: &str) -> Result<()> {
    let unpack = format!("sudo -n sh -c 'rm -rf {place} && mkdir -m 700 {place} && tar -C {place} -xpf -'");
    let sent = booted.client.exec(&unpack, archive(kit, parts)?).await?;
    if sent.status == Some(0) {
        return Ok(());
    }
    Err(Error::failed("an auditor could not be copied to the machine").because(sent.stderr))
}

/// Removes what [`send`] copied.
pub(super) async fn remove(booted: &Booted, place: &str) -> Result<()> {
    booted.client.exec(&format!("sudo -n rm -rf {place}"), "").await.map(drop).context("removing an auditor")
}

fn archive(kit: &Tools, parts: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.mode(tar::HeaderMode::Deterministic);
    // A library has several names.
    builder.follow_symlinks(false);
    for (from, name) in parts {
        let from = kit.file(from);
        if from.is_dir() {
            builder.append_dir_all(name, &from).with_context(|| format!("reading {from}"))?;
        } else {
            builder.append_path_with_name(&from, name).with_context(|| format!("reading {from}"))?;
        }
    }
    Ok(builder.into_inner()?)
}
