//! The task types: what a task can do, as playbooks write it and plans carry it.
//!
//! One struct for each type, in the file of its family. Every string is a template that the node agent renders before it
//! acts; a list element that is one expression (`"{{ names }}"`) whose value is a list stands for that list's elements.

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

pub use account::{AuthorizedKey, Group, User};
pub use command::Command;
pub use control::{Assert, Debug, Reboot, SetFact, WaitFor};
pub use fetch::{Archive, Download};
pub use file::{Directory, File, FileCommon, Symlink, Template};
pub use kernel::{KernelModule, ModuleState, Mount, MountState, Sysctl, check_fstab, check_module, check_params};
pub use net::Firewall;
pub use package::{AptSource, Package, PackageState};
pub use service::{Secret, Service, ServiceState, Unit};
pub use system::{Hostname, Locale, Timezone, check_hostname, check_locale, check_timezone};
pub use text::{BlockInFile, Line, check_marker, check_regexp, regexp};

use serde::{Deserialize, Deserializer, Serialize};

use crate::Result;

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
    /// Where packages come from.
    AptSource("apt_source"),
    /// A file's content, owner and mode.
    File("file"),
    /// A file rendered from a template.
    Template("template"),
    /// A folder.
    Directory("directory"),
    /// A symbolic link.
    Symlink("symlink"),
    /// A file from elsewhere.
    Download("download"),
    /// What is in an archive.
    Archive("archive"),
    /// A line in a file.
    Line("line"),
    /// A block of lines in a file.
    BlockInFile("block_in_file"),
    /// An account.
    User("user"),
    /// A group.
    Group("group"),
    /// A key that may log in.
    AuthorizedKey("authorized_key"),
    /// A kernel parameter.
    Sysctl("sysctl"),
    /// A kernel module.
    KernelModule("kernel_module"),
    /// A mount.
    Mount("mount"),
    /// The machine's name.
    Hostname("hostname"),
    /// The time zone.
    Timezone("timezone"),
    /// The language.
    Locale("locale"),
    /// The packet filter's rules.
    Firewall("firewall"),
    /// A systemd unit file.
    Unit("unit"),
    /// A service's state.
    Service("service"),
    /// A command.
    Command("command"),
    /// A secret that was delivered to the node.
    Secret("secret"),
    /// Something that is to be there before the next task.
    WaitFor("wait_for"),
    /// Expressions that must hold.
    Assert("assert"),
    /// Something to say.
    Debug("debug"),
    /// Variables for the rest of the run.
    SetFact("set_fact"),
    /// The machine, booted anew.
    Reboot("reboot"),
}

/// Content that a task names by its hash among the plan's blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// Taken as it is.
    Raw(&'a str),
    /// The text of a template, rendered on the node.
    Template(&'a str),
}

impl Action {
    /// The content that the task names, in a plan.
    pub fn content(&self) -> Option<Content<'_>> {
        match self {
            Action::File(task) => task.source.as_deref().map(Content::Raw),
            Action::Archive(task) => task.blob().map(Content::Raw),
            Action::Template(task) => Some(Content::Template(&task.template)),
            Action::Firewall(task) => task.template.as_deref().map(Content::Template),
            Action::Unit(task) => task.template.as_deref().map(Content::Template),
            _ => None,
        }
    }

    /// Checks what must hold between a task's fields, whatever text their templates give.
    ///
    /// # Errors
    /// Fails where it does not.
    pub fn check(&self) -> Result<()> {
        match self {
            Action::Line(task) => task.check(),
            Action::BlockInFile(task) => task.check(),
            Action::KernelModule(task) => task.check(),
            Action::Mount(task) => task.check(),
            _ => Ok(()),
        }
    }
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
