//! The kernel: its parameters, modules and mounts.

use super::{STATE, Shape, TypeSpec, may, must};

pub(super) static SYSCTL: TypeSpec = TypeSpec {
    name: "sysctl",
    about: "A kernel parameter, now and at every boot.",
    alternatives: &[],
    needs_one: false,
    fields: &[
        must("name", Shape::Text, "The name with dots."),
        may("value", Shape::Text, "The value, in quotes."),
        STATE,
    ],
};
