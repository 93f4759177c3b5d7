//! Packages and where they come from.

use super::{STATE, Shape, TypeSpec, may, must};

pub(super) static PACKAGE: TypeSpec = TypeSpec {
    name: "package",
    about: "Debian packages.",
    alternatives: &[],
    needs_one: false,
    fields: &[
        must("names", Shape::OneOrMany, "Package names."),
        may("state", Shape::Words(&["present", "absent", "latest"]), "What they should be."),
        may("update_cache", Shape::Bool, "Ask the sources anew before something is installed."),
        may("hold", Shape::Bool, "Keep apt from changing the version."),
    ],
};

pub(super) static APT_SOURCE: TypeSpec = TypeSpec {
    name: "apt_source",
    about: "Where apt takes packages from.",
    alternatives: &[],
    needs_one: false,
    fields: &[
        must("name", Shape::Text, "Names the file: /etc/apt/sources.list.d/NAME.sources."),
        may("types", Shape::OneOrMany, "deb, deb-src or both [deb]."),
        may("uris", Shape::OneOrMany, "Where the archive lies."),
        may("suites", Shape::OneOrMany, "Its suites; or paths in it that end with /."),
        may("components", Shape::OneOrMany, "The suites' components."),
        may("signed_by", Shape::Text, "A keyring's path on the node, or the armored public key itself."),
        STATE,
    ],
};
