//! Accounts, groups, and who may log in.

use super::{STATE, Shape, TypeSpec, may, must};

pub(super) static USER: TypeSpec = TypeSpec {
    name: "user",
    about: "A local account.",
    alternatives: &[],
    needs_one: false,
    fields: &[
        must("name", Shape::Text, "The login name."),
        may("uid", Shape::Number, "The number."),
        may("system", Shape::Bool, "An account of the system's."),
        may("home", Shape::Path, "The home folder."),
        may("shell", Shape::Path, "The login shell."),
        may("groups", Shape::Texts, "Groups beside the user's own."),
        may("locked", Shape::Bool, "Whether the password is locked."),
        STATE,
    ],
};

pub(super) static GROUP: TypeSpec = TypeSpec {
    name: "group",
    about: "A local group.",
    alternatives: &[],
    needs_one: false,
    fields: &[
        must("name", Shape::Text, "The name."),
        may("gid", Shape::Number, "The number."),
        may("system", Shape::Bool, "A group of the system's."),
        STATE,
    ],
};

pub(super) static AUTHORIZED_KEY: TypeSpec = TypeSpec {
    name: "authorized_key",
    about: "An SSH key that may log in.",
    alternatives: &[],
    needs_one: false,
    fields: &[
        must("user", Shape::Text, "The login name."),
        must("key", Shape::Text, "The public key."),
        may("options", Shape::Text, "Options before the key (sshd(8))."),
        may("exclusive", Shape::Bool, "No other key may stay."),
        STATE,
    ],
};
