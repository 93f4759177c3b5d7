//! Packages and where they come from.

use serde::{Deserialize, Serialize};

use super::one_or_many;

/// What a package should be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageState {
    /// Installed, in whatever version.
    #[default]
    Present,
    /// Not installed; its configuration files are removed with it.
    Absent,
    /// Installed in the newest version that the sources offer.
    Latest,
}

/// `package`: installs or removes Debian packages in one transaction of apt's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Package names.
    #[serde(deserialize_with = "one_or_many")]
    pub names: Vec<String>,
    /// What they should be.
    #[serde(default)]
    pub state: PackageState,
    /// Ask the sources for their present packages first, where something is to be installed.
    #[serde(default)]
    pub update_cache: bool,
    /// Keep apt from changing the version by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<bool>,
}
