//! The auditors' programs: a folder of Debian 13's, by a lock of their own.

use crate::image::definition::Definition;
use crate::image::tools;

/// The name that the auditors' lock has among images.
pub const NAME: &str = "auditors";

/// What the auditors' lock is made of.
pub fn definition() -> Definition {
    tools::bare(NAME, &["lynis", "ssh-audit"])
}
