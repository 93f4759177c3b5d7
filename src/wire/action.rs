//! The task types: what a task can do, as playbooks write it and plans carry it.
//!
//! One struct for each type. Every string is a template that the node agent renders before it acts; a list element that
//! is one expression (`"{{ names }}"`) whose value is a list stands for that list's elements.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// Declares the task types once: the enum, their names and their list.
macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident($name:literal),)*) => {
        /// What a task does.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Action {
            $($(#[$doc])* #[serde(rename = $name)] $variant($variant),)*
        }

        impl Action {
            /// The names of all task types, as playbooks write them.
            pub const KINDS: &'static [&'static str] = &[$($name),*];

            /// This type's name, as playbooks write it.
            pub fn kind(&self) -> &'static str {
                match self { $(Action::$variant(_) => $name,)* }
            }
        }
    };
}

actions! {
    /// Debian packages.
    Package("package"),
    /// A file's content, owner and mode.
    File("file"),
    /// A file rendered from a template.
    Template("template"),
    /// A folder.
    Directory("directory"),
    /// A symbolic link.
    Symlink("symlink"),
    /// A line in a file.
    Line("line"),
    /// An account.
    User("user"),
    /// A group.
    Group("group"),
    /// A key that may log in.
    AuthorizedKey("authorized_key"),
    /// A kernel parameter.
    Sysctl("sysctl"),
    /// A systemd unit file.
    Unit("unit"),
    /// A service's state.
    Service("service"),
    /// A command.
    Command("command"),
    /// A secret that was delivered to the node.
    Secret("secret"),
}

/// Whether something should be there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It should.
    #[default]
    Present,
    /// It should not.
    Absent,
}

/// What a package should be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageState {
    /// Installed, in whatever version.
    #[default]
    Present,
    /// Not installed; its configuration files are removed with it.
    Absent,
    /// Installed in the newest version that the sources offer.
    Latest,
}

/// What a service should be doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// Running.
    Started,
    /// Not running.
    Stopped,
    /// Restarted now; always a change, and so best written as a handler.
    Restarted,
    /// Told to read its configuration again (restarted where it cannot); always a change.
    Reloaded,
}

/// `package`: installs or removes Debian packages in one transaction of apt's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Package names.
    #[serde(deserialize_with = "one_or_many")]
    pub names: Vec<String>,
    /// What they should be.
    #[serde(default)]
    pub state: PackageState,
    /// Ask the sources for their present packages first, where something is to be installed.
    #[serde(default)]
    pub update_cache: bool,
    /// Keep apt from changing the version by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<bool>,
}

/// `file`: a file's content, owner and mode. Without content only owner and mode are looked after.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// An absolute path.
    pub path: String,
    /// The content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// In a playbook, a file in the fleet's folder; in a plan, the hash of its content among the plan's blobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Owner, group, mode and the rest.
    #[serde(flatten)]
    pub common: FileCommon,
}

/// `template`: as `file`, with content rendered from a template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// An absolute path.
    pub path: String,
    /// In a playbook, a template in the fleet's `templates/`; in a plan, the hash of its text among the plan's blobs.
    pub template: String,
    /// Owner, group, mode and the rest.
    #[serde(flatten)]
    pub common: FileCommon,
}

/// What `file` and `template` have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCommon {
    /// A user's name or number; as it is (root for a new file) where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// A group's name or number; as it is (root for a new file) where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Octal digits in a string; as it is (0644 for a new file) where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// A command that must succeed before the file is put in place; `%s` stands for the new file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<String>,
    /// Keep what was there before beside it, as `PATH.stead~`.
    #[serde(default)]
    pub backup: bool,
    /// Whether the file should be there.
    #[serde(default)]
    pub state: Presence,
}

/// `directory`: a folder; parents that are missing are made with it (0755, root).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// An absolute path.
    pub path: String,
    /// A user's name or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// A group's name or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Octal digits in a string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Owner and group hold for everything below as well; the mode does not.
    #[serde(default)]
    pub recurse: bool,
    /// Whether the folder should be there; `absent` removes it with all that is in it.
    #[serde(default)]
    pub state: Presence,
}

/// `symlink`: a symbolic link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Symlink {
    /// An absolute path.
    pub path: String,
    /// What it points to, as written; need not exist.
    #[serde(default)]
    pub target: String,
    /// Whether the link should be there.
    #[serde(default)]
    pub state: Presence,
}

/// `line`: one line in a text file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// An absolute path.
    pub path: String,
    /// The line, without its end.
    pub line: String,
    /// The last line that begins so (after white space) is replaced by `line`; with `absent`, every such line is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_with: Option<String>,
    /// Make the file where it is missing.
    #[serde(default)]
    pub create: bool,
    /// Whether the line should be there.
    #[serde(default)]
    pub state: Presence,
}

/// `user`: a local account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The login name.
    pub name: String,
    /// The number; the next free one where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Number from the system's range, no expiry, `/usr/sbin/nologin`, and no home folder made.
    #[serde(default)]
    pub system: bool,
    /// The home folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    /// The login shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Groups that the user belongs to beside their own; others that they belong to stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// Whether the password is locked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<bool>,
    /// Whether the account should be there; `absent` leaves the home folder.
    #[serde(default)]
    pub state: Presence,
}

/// `group`: a local group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The name.
    pub name: String,
    /// The number; the next free one where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Number from the system's range.
    #[serde(default)]
    pub system: bool,
    /// Whether the group should be there.
    #[serde(default)]
    pub state: Presence,
}

/// `authorized_key`: an SSH key in the user's `~/.ssh/authorized_keys`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizedKey {
    /// The login name.
    pub user: String,
    /// The public key: type, base 64 and comment.
    pub key: String,
    /// Options before the key, as sshd(8) names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<String>,
    /// No other key may stay in the file.
    #[serde(default)]
    pub exclusive: bool,
    /// Whether the key should be there.
    #[serde(default)]
    pub state: Presence,
}

/// `sysctl`: a kernel parameter, now and at every boot. In an image's root, and where a container's kernel does not let
/// it be set, only for the next boot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sysctl {
    /// The name with dots: `kernel.kptr_restrict`.
    pub name: String,
    /// The value as text.
    #[serde(default)]
    pub value: String,
    /// `absent` forgets the setting; what holds now stays until the next boot.
    #[serde(default)]
    pub state: Presence,
}

/// `unit`: a systemd unit file in `/etc/systemd/system`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// With its suffix: `agent@.service`.
    pub name: String,
    /// As for [`Template::template`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The name of a drop-in: the content goes to `NAME.d/DROP_IN.conf` and the unit itself stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_in: Option<String>,
    /// Whether it is started at boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Whether the file should be there.
    #[serde(default)]
    pub state: Presence,
}

/// `service`: what a unit is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// A unit; `.service` may be left out.
    pub name: String,
    /// What it should be doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ServiceState>,
    /// Whether it is started at boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Whether it can be started at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked: Option<bool>,
    /// Have systemd read its unit files again first; always a change.
    #[serde(default)]
    pub daemon_reload: bool,
}

/// `command`: runs a program. With `check` it is not run: it counts as a change unless `creates`, `removes` or `unless`
/// say that there is nothing to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The program and its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argv: Option<Vec<String>>,
    /// Or a line for `/bin/sh -eu -c`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Nothing to do where this path exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creates: Option<String>,
    /// Nothing to do where this path does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removes: Option<String>,
    /// Nothing to do where this line for `/bin/sh` succeeds; it is run with `check` as well and must change nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<String>,
    /// The folder to run in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Variables beside `PATH`, `HOME`, `LANG` and `USER`, which are all that it gets otherwise.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// What it reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// The login name to run as; root where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// `secret`: makes sure that a secret was delivered, and brings it to those who need it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The secret's name.
    pub name: String,
    /// It is taken by units with `LoadCredentialEncrypted=`, under this name, which must be the secret's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// Or it is written in the clear to this path below `/run`, which is memory and never a disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The owner of `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The mode of `path`; 0400 where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Units that are restarted, where they run, when the secret's version is newer than the one they were started with.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub restart: Vec<String>,
}

/// Takes a list of strings, or one string for a list of one.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_write_a_type_as_playbooks_do() {
        let action: Action = serde_json::from_str(r#"{"package": {"names": "nftables"}}"#).unwrap();
        assert_eq!(action.kind(), "package");
        assert_eq!(serde_json::to_value(&action).unwrap()["package"]["names"][0], "nftables");
        let file: Action = serde_json::from_str(r#"{"file": {"path": "/a", "content": "x", "mode": "0600"}}"#).unwrap();
        let again: Action = serde_json::from_value(serde_json::to_value(&file).unwrap()).unwrap();
        assert_eq!(file, again);
    }

    #[test]
    fn unknown_fields_are_refused() {
        assert!(serde_json::from_str::<Action>(r#"{"service": {"name": "x", "stat": "started"}}"#).is_err());
    }
}
