//! What is its owner's alone.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};

use camino::Utf8Path;

use crate::error::Context;
use crate::{Result, ownership};

/// Makes a folder that is its owner's alone, or makes it so. Made by root, it is the owner's of the folder that it lies in.
pub(super) fn private_dir(dir: &Utf8Path) -> Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("making the folder {dir}"))?;
    let mode = std::fs::metadata(dir)?.permissions().mode();
    if mode & 0o077 != 0 {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))
            .with_context(|| format!("closing the folder {dir} to others"))?;
    }
    ownership::inherit(dir)
}
