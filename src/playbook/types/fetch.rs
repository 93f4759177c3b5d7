//! What is fetched, and what is unpacked.

use super::{BACKUP, GROUP, MODE, OWNER, PATH, STATE, Shape, TypeSpec, VALIDATE, must};

pub(super) static DOWNLOAD: TypeSpec = TypeSpec {
    name: "download",
    about: "A file from elsewhere, known by its hash.",
    alternatives: &[],
    needs_one: false,
    fields: &[
        must("url", Shape::Text, "Where it lies: https, http or file."),
        PATH,
        must("sha256", Shape::Text, "The SHA-256 of its content, in hexadecimal digits."),
        OWNER,
        GROUP,
        MODE,
        VALIDATE,
        BACKUP,
        STATE,
    ],
};
