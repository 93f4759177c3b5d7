//! The kernel: its parameters, modules and mounts.

use serde::{Deserialize, Serialize};

use super::Presence;

/// `sysctl`: a kernel parameter, now and at every boot. In an image's root, and where a container's kernel does not let
/// it be set, only for the next boot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sysctl {
    /// The name with dots: `kernel.kptr_restrict`.
    pub name: String,
    /// The value as text.
    #[serde(default)]
    pub value: String,
    /// `absent` forgets the setting; what holds now stays until the next boot.
    #[serde(default)]
    pub state: Presence,
}
