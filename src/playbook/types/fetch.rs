//! What is fetched, and what is unpacked.

use super::{BACKUP, GROUP, MODE, OWNER, PATH, STATE, Shape, TypeSpec, VALIDATE, may, must};

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

pub(super) static ARCHIVE: TypeSpec = TypeSpec {
    name: "archive",
    about: "What is in a tar archive (.tar, .tar.gz, .tar.xz, .tar.zst), below a folder.",
    alternatives: &[],
    needs_one: false,
    fields: &[
        must("source", Shape::SourceOrPath, "An absolute path on the node, or a file in the fleet's folder."),
        must("path", Shape::Path, "The folder that it is unpacked to."),
        may("strip", Shape::Number, "How many leading parts of each name are left out [0]."),
        may("creates", Shape::Path, "Nothing to do where this exists."),
        OWNER,
        GROUP,
        STATE,
    ],
};
