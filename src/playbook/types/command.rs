//! Programs.

use super::{Shape, TypeSpec, may};

pub(super) static COMMAND: TypeSpec = TypeSpec {
    name: "command",
    about: "Runs a program.",
    alternatives: &[&["argv", "shell"]],
    needs_one: true,
    fields: &[
        may("argv", Shape::Texts, "The program and its arguments."),
        may("shell", Shape::Text, "Or a line for /bin/sh -eu -c."),
        may("creates", Shape::Path, "Nothing to do where this exists."),
        may("removes", Shape::Path, "Nothing to do where this does not exist."),
        may("unless", Shape::Text, "Nothing to do where this line for /bin/sh succeeds."),
        may("cwd", Shape::Path, "The folder to run in."),
        may("env", Shape::TextMap, "Variables."),
        may("stdin", Shape::Text, "What it reads."),
        may("user", Shape::Text, "The login name to run as."),
    ],
};
