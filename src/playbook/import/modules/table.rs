//! The table of modules.

use super::How::{self, Bool, Ignored, Mode, Number, Only, Path, Text, Texts, Words};
use super::{Arg, Module, Special, command, content, special};

/// An argument by its names, and the field that it becomes.
const fn may(from: &'static [&'static str], to: &'static str, how: How) -> Arg {
    Arg { from, to, how, is_required: false }
}

const fn must(from: &'static [&'static str], to: &'static str, how: How) -> Arg {
    Arg { from, to, how, is_required: true }
}

/// Arguments whatever of which is said, ours does the same.
const fn any(from: &'static [&'static str]) -> Arg {
    may(from, "", Ignored)
}

/// An argument that can only be this, which is what ours does.
const fn only(from: &'static [&'static str], truth: bool) -> Arg {
    may(from, "", Only(truth))
}

const fn module(names: &'static [&'static str], kind: &'static str, args: &'static [Arg], special: Special) -> Module {
    Module { names, kind, args, special }
}

const STATE: Arg = may(&["state"], "state", Words(&["present", "absent"]));
/// Of keys and kernel parameters: what Ansible takes out is not what ours would.
const PRESENT: Arg = may(&["state"], "state", Words(&["present"]));
const DEST: Arg = must(&["dest"], "path", Path);
const OWNER: Arg = may(&["owner"], "owner", Text);
const GROUP: Arg = may(&["group"], "group", Text);
const MODE: Arg = may(&["mode"], "mode", Mode);
const CHECK: Arg = may(&["validate"], "validate", Text);
const BACKUP: Arg = may(&["backup"], "backup", Bool);
const EDITED: Arg = must(&["path", "dest", "destfile", "name"], "path", Path);
const CREATE: Arg = may(&["create"], "create", Bool);
const DOES: How = Words(&["started", "stopped", "restarted", "reloaded"]);

#[rustfmt::skip]
pub(super) static MODULES: &[Module] = &[
    module(&["apt", "package"], "package", &[
        may(&["name", "pkg", "package"], "names", Texts), any(&["cache_valid_time", "lock_timeout", "use"]),
        may(&["state"], "state", Words(&["present", "latest", "absent"])),
        may(&["update_cache", "update-cache"], "update_cache", Bool), only(&["install_recommends"], false),
    ], special::package),
    module(&["copy"], "file", &[
        DEST, OWNER, GROUP, MODE, CHECK, BACKUP, only(&["force"], true), only(&["remote_src"], false),
    ], content::copy),
    module(&["template"], "template", &[
        DEST, OWNER, GROUP, MODE, CHECK, BACKUP, only(&["force"], true),
    ], content::template),
    module(&["file"], "file", &[
        must(&["path", "dest", "name"], "path", Path), OWNER, GROUP, MODE, only(&["force"], false),
    ], content::file),
    module(&["lineinfile"], "line", &[
        EDITED, may(&["regexp", "regex"], "regexp", Text), CREATE, CHECK, STATE,
        only(&["backrefs"], false), only(&["backup"], false),
    ], special::line),
    module(&["blockinfile"], "block_in_file", &[EDITED, CREATE, CHECK, STATE, only(&["backup"], false)], special::block),
    module(&["user"], "user", &[
        must(&["name", "user"], "name", Text), may(&["uid"], "uid", Number), may(&["home"], "home", Path),
        may(&["shell"], "shell", Path), may(&["password_lock"], "locked", Bool), STATE,
        only(&["remove"], false), any(&["update_password"]),
    ], special::user),
    module(&["group"], "group", &[
        must(&["name"], "name", Text), may(&["gid"], "gid", Number), may(&["system"], "system", Bool), STATE,
    ], special::none),
    module(&["authorized_key"], "authorized_key", &[
        must(&["user"], "user", Text), must(&["key"], "key", Text), may(&["key_options"], "options", Text),
        may(&["exclusive"], "exclusive", Bool), PRESENT, only(&["manage_dir"], true),
    ], special::key),
    module(&["sysctl"], "sysctl", &[
        must(&["name", "key"], "name", Text), must(&["value", "val"], "value", Text), PRESENT,
        any(&["sysctl_set"]), only(&["reload"], true),
    ], special::none),
    module(&["service", "systemd", "systemd_service"], "service", &[
        may(&["state"], "state", DOES), may(&["enabled"], "enabled", Bool), may(&["masked"], "masked", Bool),
    ], special::service),
    module(&["command"], "command", &[may(&["chdir"], "cwd", Path)], command::command),
    module(&["shell"], "command", &[may(&["chdir"], "cwd", Path)], command::shell),
    module(&["get_url"], "download", &[
        must(&["url"], "url", Text), DEST, OWNER, GROUP, MODE, BACKUP, any(&["timeout", "force", "http_agent"]),
    ], content::get_url),
    module(&["unarchive"], "archive", &[
        DEST, may(&["creates"], "creates", Path), OWNER, GROUP,
    ], content::unarchive),
    module(&["debug"], "debug", &[must(&["msg"], "message", Text), any(&["verbosity"])], special::none),
];
