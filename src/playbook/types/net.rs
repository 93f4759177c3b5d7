//! The network.

use super::{Shape, TEMPLATE_ABOUT, TypeSpec, may};

pub(super) static FIREWALL: TypeSpec = TypeSpec {
    name: "firewall",
    about: "The packet filter's rules (nft(8)), checked, loaded as a whole, and loaded at every boot.",
    alternatives: &[&["template", "content"]],
    needs_one: true,
    fields: &[
        may("template", Shape::Template, TEMPLATE_ABOUT),
        may("content", Shape::Text, "The rules."),
        may("path", Shape::Path, "Where they are written to [/etc/nftables.conf]."),
    ],
};
