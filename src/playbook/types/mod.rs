//! The task types' fields, in one table: it checks playbooks, and it makes the JSON Schema.

mod account;
mod command;
mod control;
mod fetch;
mod file;
mod kernel;
mod net;
mod package;
mod service;
mod system;
mod text;

use crate::Result;

/// What a field takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// Text.
    Text,
    /// Text that passes this check, unless it is a template: then the node has to check it.
    Checked(fn(&str) -> Result<()>),
    /// An absolute path.
    Path,
    /// Octal digits in quotes.
    Mode,
    /// `true` or `false`.
    Bool,
    /// A whole number of 32 bits.
    Number,
    /// A TCP port.
    Port,
    /// A list of texts.
    Texts,
    /// A list of texts, or one.
    OneOrMany,
    /// A mapping of names to texts.
    TextMap,
    /// One of these words.
    Words(&'static [&'static str]),
    /// A list of expressions, or one.
    Expressions,
    /// A file in the fleet's folder.
    Source,
    /// A file in the fleet's folder, or an absolute path on the node.
    SourceOrPath,
    /// A file in the fleet's `templates/`.
    Template,
}

/// A field of a task type.
pub(super) struct FieldSpec {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) required: bool,
    pub(super) about: &'static str,
}

/// A task type.
pub(super) struct TypeSpec {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) fields: &'static [FieldSpec],
    /// Groups of fields, of each of which at most one may be given.
    pub(super) alternatives: &'static [&'static [&'static str]],
    /// Whether one of each group must be.
    pub(super) needs_one: bool,
}

const fn must(name: &'static str, shape: Shape, about: &'static str) -> FieldSpec {
    FieldSpec { name, shape, required: true, about }
}

const fn may(name: &'static str, shape: Shape, about: &'static str) -> FieldSpec {
    FieldSpec { name, shape, required: false, about }
}

const PRESENCE: Shape = Shape::Words(&["present", "absent"]);

const STATE: FieldSpec = may("state", PRESENCE, "Whether it should be there.");
const PATH: FieldSpec = must("path", Shape::Path, "An absolute path.");
const OWNER: FieldSpec = may("owner", Shape::Text, "A user's name or number.");
const GROUP: FieldSpec = may("group", Shape::Text, "A group's name or number.");
const MODE: FieldSpec = may("mode", Shape::Mode, "Octal digits in quotes: \"0644\".");
const TEMPLATE_ABOUT: &str = "A file in the fleet's templates/.";
const VALIDATE: FieldSpec = may("validate", Shape::Text, "A command that must find the new file (%s) good.");
const BACKUP: FieldSpec = may("backup", Shape::Bool, "Keep the old file as PATH.stead~.");

/// All task types.
pub(super) static TYPES: &[&TypeSpec] = &[
    &package::PACKAGE,
    &package::APT_SOURCE,
    &file::FILE,
    &file::TEMPLATE,
    &file::DIRECTORY,
    &file::SYMLINK,
    &fetch::DOWNLOAD,
    &fetch::ARCHIVE,
    &text::LINE,
    &text::BLOCK_IN_FILE,
    &account::USER,
    &account::GROUP,
    &account::AUTHORIZED_KEY,
    &kernel::SYSCTL,
    &kernel::KERNEL_MODULE,
    &kernel::MOUNT,
    &system::HOSTNAME,
    &system::TIMEZONE,
    &system::LOCALE,
    &net::FIREWALL,
    &service::UNIT,
    &service::SERVICE,
    &command::COMMAND,
    &service::SECRET,
    &control::WAIT_FOR,
    &control::ASSERT,
    &control::DEBUG,
    &control::SET_FACT,
    &control::REBOOT,
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire::action::Action;

    #[test]
    fn the_table_and_the_node_agree() {
        let names: Vec<&str> = TYPES.iter().map(|spec| spec.name).collect();
        assert_eq!(
            names,
            Action::KINDS.to_vec().into_iter().fold(names.clone(), |sorted, kind| {
                assert!(sorted.contains(&kind), "{kind} is not in the table");
                sorted
            })
        );
        assert_eq!(names.len(), Action::KINDS.len());
        for spec in TYPES {
            let fields: serde_json::Map<_, _> = spec
                .fields
                .iter()
                .map(|field| {
                    let sample = match field.shape {
                        Shape::Bool => json!(true),
                        Shape::Number | Shape::Port => json!(7),
                        Shape::Texts | Shape::OneOrMany | Shape::Expressions => json!(["x"]),
                        Shape::TextMap => json!({"A": "b"}),
                        Shape::Words(words) => json!(words[0]),
                        _ => json!("/x"),
                    };
                    (field.name.to_owned(), sample)
                })
                .collect();
            let action: Action = serde_json::from_value(json!({spec.name: fields})).unwrap();
            let back = serde_json::to_value(&action).unwrap();
            let known: Vec<&String> = back[spec.name].as_object().unwrap().keys().collect();
            for key in known {
                assert!(spec.fields.iter().any(|field| field.name == key), "{} takes {key}", spec.name);
            }
        }
    }
}
