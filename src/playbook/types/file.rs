//! Files, folders and links.

use super::{BACKUP, GROUP, MODE, OWNER, PATH, STATE, Shape, TEMPLATE_ABOUT, TypeSpec, VALIDATE, may, must};

pub(super) static FILE: TypeSpec = TypeSpec {
    name: "file",
    about: "A file's content, owner and mode.",
    alternatives: &[&["content", "source"]],
    needs_one: false,
    fields: &[
        PATH,
        may("content", Shape::Text, "The content."),
        may("source", Shape::Source, "A file in the fleet's folder, taken as it is."),
        OWNER,
        GROUP,
        MODE,
        VALIDATE,
        BACKUP,
        STATE,
    ],
};

pub(super) static TEMPLATE: TypeSpec = TypeSpec {
    name: "template",
    about: "A file rendered from a template.",
    alternatives: &[],
    needs_one: false,
    fields: &[PATH, must("template", Shape::Template, TEMPLATE_ABOUT), OWNER, GROUP, MODE, VALIDATE, BACKUP, STATE],
};

pub(super) static DIRECTORY: TypeSpec = TypeSpec {
    name: "directory",
    about: "A folder.",
    alternatives: &[],
    needs_one: false,
    fields: &[
        PATH,
        OWNER,
        GROUP,
        MODE,
        may("recurse", Shape::Bool, "Owner and group hold for everything below as well."),
        STATE,
    ],
};

pub(super) static SYMLINK: TypeSpec = TypeSpec {
    name: "symlink",
    about: "A symbolic link.",
    alternatives: &[],
    needs_one: false,
    fields: &[PATH, may("target", Shape::Text, "What it points to."), STATE],
};
