//! Packages and where they come from.

use super::{Shape, TypeSpec, may, must};

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
