//! Parts of text files.

use super::{FieldSpec, PATH, STATE, Shape, TypeSpec, VALIDATE, may};
use crate::wire::action::{check_marker, check_regexp};

const REGEXP: Shape = Shape::Checked(check_regexp);
const CREATE: FieldSpec = may("create", Shape::Bool, "Make the file where it is missing.");
const INSERT_AFTER: FieldSpec = may("insert_after", REGEXP, "What is new goes behind the last line that this matches.");
const INSERT_BEFORE: FieldSpec =
    may("insert_before", REGEXP, "What is new goes before the first line that this matches.");

pub(super) static LINE: TypeSpec = TypeSpec {
    name: "line",
    about: "One line in a text file.",
    alternatives: &[&["starts_with", "regexp"], &["insert_after", "insert_before"]],
    needs_one: false,
    fields: &[
        PATH,
        may("line", Shape::Text, "The line, without its end."),
        may("starts_with", Shape::Text, "The last line that begins so is replaced."),
        may("regexp", REGEXP, "The last line that this matches is replaced."),
        INSERT_AFTER,
        INSERT_BEFORE,
        CREATE,
        VALIDATE,
        STATE,
    ],
};

pub(super) static BLOCK_IN_FILE: TypeSpec = TypeSpec {
    name: "block_in_file",
    about: "Lines of a text file between two marker lines.",
    alternatives: &[&["insert_after", "insert_before"]],
    needs_one: false,
    fields: &[
        PATH,
        may("content", Shape::Text, "The lines between the markers."),
        may(
            "marker",
            Shape::Checked(check_marker),
            "The marker lines; {mark} stands for BEGIN and END [# {mark} stead block].",
        ),
        INSERT_AFTER,
        INSERT_BEFORE,
        CREATE,
        VALIDATE,
        STATE,
    ],
};
