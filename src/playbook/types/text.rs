//! Parts of text files.

use super::{PATH, STATE, Shape, TypeSpec, may, must};

pub(super) static LINE: TypeSpec = TypeSpec {
    name: "line",
    about: "One line in a text file.",
    alternatives: &[],
    needs_one: false,
    fields: &[
        PATH,
        must("line", Shape::Text, "The line, without its end."),
        may("starts_with", Shape::Text, "The last line that begins so is replaced."),
        may("create", Shape::Bool, "Make the file where it is missing."),
        STATE,
    ],
};
