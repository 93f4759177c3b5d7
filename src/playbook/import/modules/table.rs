//! The table of modules.

use super::How::{Bool, Ignored, Mode, Number, Only, Path, Text, Texts, Words};
use super::{Arg, How, Module, command, content, special};

const fn may(from: &'static [&'static str], to: &'static str, how: How) -> Arg {
    Arg { from, to, how, is_required: false }
}

const fn must(from: &'static [&'static str], to: &'static str, how: How) -> Arg {
    Arg { from, to, how, is_required: true }
}

const fn ignored(from: &'static [&'static str]) -> Arg {
    may(from, "", Ignored)
}

const fn only(from: &'static [&'static str], truth: bool) -> Arg {
    may(from, "", Only(truth))
}

const PRESENCE: How = Words(&[("present", ""), ("absent", "absent")]);
const STATE: Arg = may(&["state"], "state", PRESENCE);
const OWNER: Arg = may(&["owner"], "owner", Text);
const GROUP: Arg = may(&["group"], "group", Text);
const MODE: Arg = may(&["mode"], "mode", Mode);
const VALIDATE: Arg = may(&["validate"], "validate", Text);
const BACKUP: Arg = may(&["backup"], "backup", Bool);
const EDITED: &[&str] = &["path", "dest", "destfile", "name"];

pub(super) static MODULES: &[Module] = &[
    Module {
        names: &["apt", "package"],
        kind: "package",
        args: &[
            must(&["name", "pkg", "package"], "names", Texts),
            may(
                &["state"],
                "state",
                Words(&[("present", ""), ("installed", ""), ("latest", "latest"), ("absent", "absent")]),
            ),
            may(&["update_cache", "update-cache"], "update_cache", Bool),
            ignored(&["cache_valid_time", "lock_timeout", "use"]),
            only(&["install_recommends"], false),
            only(&["autoremove"], false),
            only(&["force_apt_get"], true),
        ],
        special: Some(special::package),
    },
    Module {
        names: &["copy"],
        kind: "file",
        args: &[OWNER, GROUP, MODE, VALIDATE, BACKUP, only(&["force"], true), only(&["remote_src"], false)],
        special: Some(content::copy),
    },
    Module {
        names: &["template"],
        kind: "template",
        args: &[OWNER, GROUP, MODE, VALIDATE, BACKUP, only(&["force"], true)],
        special: Some(content::template),
    },
    Module {
        names: &["file"],
        kind: "file",
        args: &[must(&["path", "dest", "name"], "path", Path), OWNER, GROUP, MODE, only(&["force"], false)],
        special: Some(content::file),
    },
    Module {
        names: &["lineinfile"],
        kind: "line",
        args: &[
            must(EDITED, "path", Path),
            may(&["regexp", "regex"], "regexp", Text),
            may(&["create"], "create", Bool),
            VALIDATE,
            STATE,
            only(&["backrefs"], false),
            only(&["backup"], false),
        ],
        special: Some(special::line),
    },
    Module {
        names: &["blockinfile"],
        kind: "block_in_file",
        args: &[
            must(EDITED, "path", Path),
            may(&["create"], "create", Bool),
            VALIDATE,
            STATE,
            only(&["backup"], false),
            only(&["append_newline"], false),
            only(&["prepend_newline"], false),
        ],
        special: Some(special::block),
    },
    Module {
        names: &["user"],
        kind: "user",
        args: &[
            must(&["name", "user"], "name", Text),
            may(&["uid"], "uid", Number),
            may(&["home"], "home", Path),
            may(&["shell"], "shell", Path),
            may(&["password_lock"], "locked", Bool),
            STATE,
            only(&["non_unique"], false),
            only(&["move_home"], false),
            only(&["generate_ssh_key"], false),
            only(&["remove"], false),
            only(&["force"], false),
        ],
        special: Some(special::user),
    },
    Module {
        names: &["group"],
        kind: "group",
        args: &[
            must(&["name"], "name", Text),
            may(&["gid"], "gid", Number),
            may(&["system"], "system", Bool),
            STATE,
            only(&["non_unique"], false),
        ],
        special: None,
    },
    Module {
        names: &["authorized_key"],
        kind: "authorized_key",
        args: &[
            must(&["user"], "user", Text),
            may(&["key_options"], "options", Text),
            may(&["exclusive"], "exclusive", Bool),
            // Ansible looks for the key alone, whatever its comment.
            may(&["state"], "state", Words(&[("present", "")])),
            only(&["manage_dir"], true),
        ],
        special: Some(special::key),
    },
    Module {
        names: &["sysctl"],
        kind: "sysctl",
        args: &[
            must(&["name", "key"], "name", Text),
            must(&["value", "val"], "value", Text),
            // Ansible takes a line out of a file that is not ours.
            may(&["state"], "state", Words(&[("present", "")])),
            ignored(&["sysctl_set"]),
            only(&["reload"], true),
            only(&["ignoreerrors"], false),
        ],
        special: None,
    },
    Module {
        names: &["service", "systemd", "systemd_service"],
        kind: "service",
        args: &[
            may(
                &["state"],
                "state",
                Words(&[
                    ("started", "started"),
                    ("stopped", "stopped"),
                    ("restarted", "restarted"),
                    ("reloaded", "reloaded"),
                ]),
            ),
            may(&["enabled"], "enabled", Bool),
            may(&["masked"], "masked", Bool),
            may(&["scope"], "", Words(&[("system", "")])),
            only(&["no_block"], false),
            ignored(&["use"]),
        ],
        special: Some(special::service),
    },
    Module { names: &["command"], kind: "command", args: command::COMMON, special: Some(command::command) },
    Module { names: &["shell"], kind: "command", args: command::COMMON, special: Some(command::shell) },
    Module {
        names: &["get_url"],
        kind: "download",
        args: &[
            must(&["url"], "url", Text),
            OWNER,
            GROUP,
            MODE,
            BACKUP,
            ignored(&["timeout", "force", "http_agent"]),
            only(&["validate_certs"], true),
        ],
        special: Some(content::get_url),
    },
    Module {
        names: &["unarchive"],
        kind: "archive",
        args: &[
            must(&["dest"], "path", Path),
            may(&["creates"], "creates", Path),
            OWNER,
            GROUP,
            only(&["validate_certs"], true),
            only(&["list_files"], false),
            only(&["keep_newer"], false),
        ],
        special: Some(content::unarchive),
    },
    Module {
        names: &["debug"],
        kind: "debug",
        args: &[must(&["msg"], "message", Text), ignored(&["verbosity"])],
        special: None,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playbook::types::TYPES;

    #[test]
    fn every_field_that_the_table_names_is_one() {
        for module in MODULES {
            let spec = TYPES.iter().find(|spec| spec.name == module.kind).unwrap();
            for arg in module.args.iter().filter(|arg| !arg.to.is_empty()) {
                assert!(spec.fields.iter().any(|field| field.name == arg.to), "{} has no {}", module.kind, arg.to);
            }
        }
    }
}
