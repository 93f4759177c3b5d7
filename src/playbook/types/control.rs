//! What steers a run.

use super::{PRESENCE, Shape, TypeSpec, may, must};

pub(super) static WAIT_FOR: TypeSpec = TypeSpec {
    name: "wait_for",
    about: "Waits until something is there, and changes nothing.",
    alternatives: &[&["port", "path", "url", "unit"]],
    needs_one: true,
    fields: &[
        may("port", Shape::Port, "A TCP port that takes connections."),
        may("host", Shape::Text, "Whose port: an address or a name [127.0.0.1]."),
        may("path", Shape::Path, "Something that has this absolute path."),
        may("url", Shape::Text, "An http:// URL that answers with 2xx."),
        may("unit", Shape::Text, "A unit that is active; .service may be left out."),
        may("timeout", Shape::Number, "How long to wait, in seconds [300]."),
        may("state", PRESENCE, "absent: waits until it is gone."),
    ],
};

pub(super) static ASSERT: TypeSpec = TypeSpec {
    name: "assert",
    about: "Fails unless every expression is true.",
    alternatives: &[],
    needs_one: false,
    fields: &[
        must("that", Shape::Expressions, "Expressions, as in when."),
        may("message", Shape::Text, "What is said where one is not true."),
    ],
};

pub(super) static DEBUG: TypeSpec = TypeSpec {
    name: "debug",
    about: "Says something.",
    alternatives: &[],
    needs_one: false,
    fields: &[must("message", Shape::Text, "What is said.")],
};

pub(super) static SET_FACT: TypeSpec = TypeSpec {
    name: "set_fact",
    about: "Variables for the rest of the run, by name; \"{{ x }}\" keeps the type of x.",
    alternatives: &[],
    needs_one: false,
    fields: &[],
};

pub(super) static REBOOT: TypeSpec = TypeSpec {
    name: "reboot",
    about: "Boots the machine anew, and goes on with the next task.",
    alternatives: &[],
    needs_one: false,
    fields: &[
        may("if_required", Shape::Bool, "Only where a package asks for it (/run/reboot-required)."),
        may("timeout", Shape::Number, "How long the machine may take, in seconds [600]."),
    ],
};
