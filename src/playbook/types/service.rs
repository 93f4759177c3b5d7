//! Units, services, and what they are given.

use super::{MODE, OWNER, STATE, Shape, TEMPLATE_ABOUT, TypeSpec, may, must};

pub(super) static UNIT: TypeSpec = TypeSpec {
    name: "unit",
    about: "A systemd unit file.",
    alternatives: &[&["template", "content"]],
    needs_one: false,
    fields: &[
        must("name", Shape::Text, "The unit, with its suffix."),
        may("template", Shape::Template, TEMPLATE_ABOUT),
        may("content", Shape::Text, "The content."),
        may("drop_in", Shape::Text, "The name of a drop-in; the unit itself stays as it is."),
        may("enabled", Shape::Bool, "Whether it is started at boot."),
        STATE,
    ],
};

pub(super) static SERVICE: TypeSpec = TypeSpec {
    name: "service",
    about: "What a unit is doing.",
    alternatives: &[],
    needs_one: false,
    fields: &[
        must("name", Shape::Text, "The unit; .service may be left out."),
        may("state", Shape::Words(&["started", "stopped", "restarted", "reloaded"]), "What it should be doing."),
        may("enabled", Shape::Bool, "Whether it is started at boot."),
        may("masked", Shape::Bool, "Whether it can be started at all."),
        may("daemon_reload", Shape::Bool, "Have systemd read its units again first."),
    ],
};

pub(super) static SECRET: TypeSpec = TypeSpec {
    name: "secret",
    about: "A secret that was delivered to the node.",
    alternatives: &[&["credential", "path"]],
    needs_one: false,
    fields: &[
        must("name", Shape::Text, "The secret's name."),
        may("credential", Shape::Text, "Taken by units with LoadCredentialEncrypted=."),
        may("path", Shape::Path, "Written in the clear below /run."),
        OWNER,
        MODE,
        may("restart", Shape::OneOrMany, "Units that are restarted when the value is new."),
    ],
};
