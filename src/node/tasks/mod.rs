//! The task types, one file each. A type is a struct of [`crate::wire::action`] and an implementation of
//! [`Converge`] for it, which tells the changes; nothing else knows how a type works.

mod account;
mod apt_source;
mod archive;
mod authorized_key;
mod block_in_file;
mod command;
mod content;
mod directory;
mod download;
mod firewall;
pub(crate) mod foreseen;
mod hostname;
mod kernel_module;
mod line;
mod locale;
mod mount;
mod package;
mod secret;
mod service;
mod symlink;
mod sysctl;
mod text;
mod timezone;
mod unit;

use crate::node::machine::{Converge, Inputs, Machine};
use crate::wire::action::Action;
use crate::{Error, Result};

use super::machine::Change;
use super::made::Made;

/// What differs from what a task wants.
///
/// # Errors
/// Fails where the node cannot be looked at, or what the task wants cannot be.
pub(crate) fn changes(action: &Action, machine: &Machine, inputs: &Inputs) -> Result<Vec<Change>> {
    action.check()?;
    of(action).map_or(Ok(Vec::new()), |task| task.changes(machine, inputs))
}

/// What a task makes.
pub(crate) fn makes(action: &Action) -> Vec<Made> {
    of(action).map_or(Vec::new(), Converge::makes)
}

/// What knows how a task's type works.
fn of(action: &Action) -> Option<&dyn Converge> {
    Some(match action {
        Action::Package(task) => task,
        Action::AptSource(task) => task,
        Action::File(task) => task,
        Action::Template(task) => task,
        Action::Directory(task) => task,
        Action::Symlink(task) => task,
        Action::Download(task) => task,
        Action::Archive(task) => task,
        Action::Line(task) => task,
        Action::BlockInFile(task) => task,
        Action::User(task) => task,
        Action::Group(task) => task,
        Action::AuthorizedKey(task) => task,
        Action::Sysctl(task) => task,
        Action::KernelModule(task) => task,
        Action::Mount(task) => task,
        Action::Hostname(task) => task,
        Action::Timezone(task) => task,
        Action::Locale(task) => task,
        Action::Firewall(task) => task,
        Action::Unit(task) => task,
        Action::Service(task) => task,
        Action::Command(task) => task,
        Action::Secret(task) => task,
        // These steer the run and look after nothing: `apply::control` does them.
        Action::WaitFor(_) | Action::Assert(_) | Action::Debug(_) | Action::SetFact(_) | Action::Reboot(_) => {
            return None;
        }
    })
}

/// Checks a path that a task names.
pub(crate) fn check_path(path: &str) -> Result<&camino::Utf8Path> {
    let path = camino::Utf8Path::new(path);
    let plain = path.components().all(|part| !matches!(part, camino::Utf8Component::ParentDir));
    if path.is_absolute() && plain && path.file_name().is_some() {
        Ok(path)
    } else {
        Err(Error::input(format!("{path:?} is not an absolute path without `..`")))
    }
}

/// Whether a URL has one of these schemes, and neither white space nor a password in it: it is shown, and stands in the
/// list of processes.
pub(crate) fn is_url(url: &str, schemes: &[&str]) -> bool {
    let Some((scheme, rest)) = url.split_once(':') else { return false };
    let authority = rest.strip_prefix("//").and_then(|rest| rest.split('/').next());
    schemes.contains(&scheme)
        && rest.starts_with('/')
        && rest.chars().all(|c| c.is_ascii_graphic())
        && !authority.is_some_and(|authority| authority.contains('@'))
}

#[cfg(test)]
pub(crate) mod testing;
