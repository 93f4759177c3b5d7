//! Packages and where they come from.

use serde::{Deserialize, Serialize};

use super::{Presence, one_or_many};

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
    /// Ask the sources for their present packages first, where something is to be installed. It is done anyway where
    /// nothing is known of them yet, and where an `apt_source` task has changed one since.
    #[serde(default)]
    pub update_cache: bool,
    /// Keep apt from changing the version by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<bool>,
}

/// `apt_source`: where apt takes packages from, as `/etc/apt/sources.list.d/NAME.sources` (deb822-style, sources.list(5)).
/// The next `package` task that installs something asks the sources anew first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AptSource {
    /// Names the file: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// `deb` for packages, `deb-src` for what they are built from; `deb` where not given.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// Where the archive lies: `https://deb.example.com/debian`. A password does not belong here, but into
    /// `/etc/apt/auth.conf.d` (apt_auth.conf(5)).
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub uris: Vec<String>,
    /// The archive's suites: `trixie`; or a path in it that ends with `/`, for an archive without suites.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub suites: Vec<String>,
    /// The suites' components: `main`; none where `suites` are paths.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<String>,
    /// The key that the archive must be signed with: a keyring's path on the node, or the armored public key itself.
    /// Without it any key in `/etc/apt/trusted.gpg.d` will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// Whether the source should be there.
    #[serde(default)]
    pub state: Presence,
}
