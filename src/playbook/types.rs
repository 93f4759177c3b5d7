//! The task types' fields, in one table: it checks playbooks, and it makes the JSON Schema.

/// What a field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Text.
    Text,
    /// An absolute path.
    Path,
    /// Octal digits in quotes.
    Mode,
    /// `true` or `false`.
    Bool,
    /// A whole number of 32 bits.
    Number,
    /// A list of texts.
    Texts,
    /// A list of texts, or one.
    OneOrMany,
    /// A mapping of names to texts.
    TextMap,
    /// One of these words.
    Words(&'static [&'static str]),
    /// A file in the fleet's folder.
    Source,
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
    /// Fields of which at most one may be given.
    pub(super) alternatives: &'static [&'static str],
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
const TEMPLATE: &str = "A file in the fleet's templates/.";
const VALIDATE: FieldSpec = may("validate", Shape::Text, "A command that must find the new file (%s) good.");
const BACKUP: FieldSpec = may("backup", Shape::Bool, "Keep the old file as PATH.stead~.");

/// All task types.
pub(super) const TYPES: &[TypeSpec] = &[
    TypeSpec {
        name: "package",
        about: "Debian packages.",
        alternatives: &[],
        fields: &[
            must("names", Shape::OneOrMany, "Package names."),
            may("state", Shape::Words(&["present", "absent", "latest"]), "What they should be."),
            may("update_cache", Shape::Bool, "Ask the sources anew before something is installed."),
            may("hold", Shape::Bool, "Keep apt from changing the version."),
        ],
    },
    TypeSpec {
        name: "file",
        about: "A file's content, owner and mode.",
        alternatives: &["content", "source"],
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
    },
    TypeSpec {
        name: "template",
        about: "A file rendered from a template.",
        alternatives: &[],
        fields: &[PATH, must("template", Shape::Template, TEMPLATE), OWNER, GROUP, MODE, VALIDATE, BACKUP, STATE],
    },
    TypeSpec {
        name: "directory",
        about: "A folder.",
        alternatives: &[],
        fields: &[
            PATH,
            OWNER,
            GROUP,
            MODE,
            may("recurse", Shape::Bool, "Owner and group hold for everything below as well."),
            STATE,
        ],
    },
    TypeSpec {
        name: "symlink",
        about: "A symbolic link.",
        alternatives: &[],
        fields: &[PATH, may("target", Shape::Text, "What it points to."), STATE],
    },
    TypeSpec {
        name: "line",
        about: "One line in a text file.",
        alternatives: &[],
        fields: &[
            PATH,
            must("line", Shape::Text, "The line, without its end."),
            may("starts_with", Shape::Text, "The last line that begins so is replaced."),
            may("create", Shape::Bool, "Make the file where it is missing."),
            STATE,
        ],
    },
    TypeSpec {
        name: "user",
        about: "A local account.",
        alternatives: &[],
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
    },
    TypeSpec {
        name: "group",
        about: "A local group.",
        alternatives: &[],
        fields: &[
            must("name", Shape::Text, "The name."),
            may("gid", Shape::Number, "The number."),
            may("system", Shape::Bool, "A group of the system's."),
            STATE,
        ],
    },
    TypeSpec {
        name: "authorized_key",
        about: "An SSH key that may log in.",
        alternatives: &[],
        fields: &[
            must("user", Shape::Text, "The login name."),
            must("key", Shape::Text, "The public key."),
            may("options", Shape::Text, "Options before the key (sshd(8))."),
            may("exclusive", Shape::Bool, "No other key may stay."),
            STATE,
        ],
    },
    TypeSpec {
        name: "sysctl",
        about: "A kernel parameter, now and at every boot.",
        alternatives: &[],
        fields: &[
            must("name", Shape::Text, "The name with dots."),
            may("value", Shape::Text, "The value, in quotes."),
            STATE,
        ],
    },
    TypeSpec {
        name: "unit",
        about: "A systemd unit file.",
        alternatives: &["template", "content"],
        fields: &[
            must("name", Shape::Text, "The unit, with its suffix."),
            may("template", Shape::Template, TEMPLATE),
            may("content", Shape::Text, "The content."),
            may("drop_in", Shape::Text, "The name of a drop-in; the unit itself stays as it is."),
            may("enabled", Shape::Bool, "Whether it is started at boot."),
            STATE,
        ],
    },
    TypeSpec {
        name: "service",
        about: "What a unit is doing.",
        alternatives: &[],
        fields: &[
            must("name", Shape::Text, "The unit; .service may be left out."),
            may("state", Shape::Words(&["started", "stopped", "restarted", "reloaded"]), "What it should be doing."),
            may("enabled", Shape::Bool, "Whether it is started at boot."),
            may("masked", Shape::Bool, "Whether it can be started at all."),
            may("daemon_reload", Shape::Bool, "Have systemd read its units again first."),
        ],
    },
    TypeSpec {
        name: "command",
        about: "Runs a program.",
        alternatives: &["argv", "shell"],
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
    },
    TypeSpec {
        name: "secret",
        about: "A secret that was delivered to the node.",
        alternatives: &["credential", "path"],
        fields: &[
            must("name", Shape::Text, "The secret's name."),
            may("credential", Shape::Text, "Taken by units with LoadCredentialEncrypted=."),
            may("path", Shape::Path, "Written in the clear below /run."),
            OWNER,
            MODE,
            may("restart", Shape::OneOrMany, "Units that are restarted when the value is new."),
        ],
    },
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
                        Shape::Number => json!(7),
                        Shape::Texts | Shape::OneOrMany => json!(["x"]),
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
