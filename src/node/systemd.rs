//! systemd, asked and told through `systemctl`, which also works on an image's root where no systemd runs.

use std::collections::BTreeMap;

use crate::node::exec::Run;
use crate::node::{Machine, files};
use crate::{Error, Result};

/// What systemd knows of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitStatus {
    /// `loaded`, `not-found`, `masked`, `bad-setting`, …; empty where no systemd runs.
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating`, …; empty where no systemd runs.
    pub active: String,
    /// `enabled`, `disabled`, `static`, `masked`, `not-found`, …
    pub enabled: String,
}

impl UnitStatus {
    /// Whether the unit runs, or is about to.
    pub fn is_running(&self) -> bool {
        matches!(self.active.as_str(), "active" | "activating" | "reloading")
    }

    /// Whether the unit is started at boot, by itself or by what wants it.
    pub fn is_enabled(&self) -> bool {
        matches!(
            self.enabled.as_str(),
            "enabled" | "enabled-runtime" | "static" | "alias" | "indirect" | "generated" | "linked" | "linked-runtime"
        )
    }

    /// Whether the unit cannot be started.
    pub fn is_masked(&self) -> bool {
        self.enabled.starts_with("masked") || self.load == "masked"
    }

    /// Whether there is such a unit.
    pub fn exists(&self) -> bool {
        self.load != "not-found" && self.enabled != "not-found"
    }
}

/// A unit's full name: `.service` is added where no suffix is given.
///
/// # Errors
/// Fails where it cannot be a unit's name (systemd.unit(5)).
pub fn unit_name(name: &str) -> Result<String> {
    const SUFFIXES: [&str; 11] = [
        ".service",
        ".socket",
        ".target",
        ".timer",
        ".path",
        ".mount",
        ".automount",
        ".swap",
        ".slice",
        ".scope",
        ".device",
    ];
    let legal = !name.is_empty()
        && name.len() < 250
        && !name.starts_with('-')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c));
    if !legal {
        return Err(Error::input(format!("{name:?} is not the name of a unit")));
    }
    if SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
        Ok(name.to_owned())
    } else {
        Ok(format!("{name}.service"))
    }
}

/// What systemd knows of a unit.
///
/// # Errors
/// Fails where systemctl cannot be run.
pub fn status(machine: &Machine, unit: &str) -> Result<UnitStatus> {
    if machine.image {
        // No manager to ask; `is-enabled` reads the files. It ends with 1 for `disabled` and 4 for `not-found`.
        let output = machine.commands.run(&Run::new(["systemctl", "is-enabled", "--", unit]))?;
        let word = output.stdout.lines().next_back().unwrap_or("").trim();
        let enabled = if word.is_empty() { "not-found" } else { word };
        return Ok(UnitStatus { enabled: enabled.to_owned(), ..UnitStatus::default() });
    }
    if machine.paths.is_machine()
        && let Some(status) = machine.bus.status(unit, machine.paths.units_unread().exists())
    {
        return Ok(status);
    }
    let output = machine.commands.must(&Run::new([
        "systemctl",
        "show",
        "--property=LoadState,ActiveState,UnitFileState",
        "--",
        unit,
    ]))?;
    let values: BTreeMap<&str, &str> = output.stdout.lines().filter_map(|line| line.split_once('=')).collect();
    let value = |name: &str| values.get(name).copied().unwrap_or("").to_owned();
    Ok(UnitStatus { load: value("LoadState"), active: value("ActiveState"), enabled: value("UnitFileState") })
}

/// Tells systemd to do something with a unit, and puts the unit's last words into the error where it fails.
///
/// # Errors
/// Fails where systemd says so.
pub fn tell(machine: &Machine, verb: &str, unit: &str) -> Result<()> {
    let output = machine.commands.run(&Run::new(["systemctl", "--no-ask-password", verb, "--", unit]))?;
    if output.status == 0 {
        return Ok(());
    }
    let mut message = format!("`systemctl {verb} {unit}` ended with {}: {}", output.status, output.tail());
    if !machine.image {
        let log = Run::new(["journalctl", "--no-pager", "--output=cat", "--lines=15", "--unit", unit]);
        if let Ok(log) = machine.commands.run(&log)
            && !log.stdout.trim().is_empty()
        {
            message.push_str("\nits last words:\n");
            message.push_str(log.stdout.trim_end());
        }
    }
    Err(Error::failed(message).hint(format!("`journalctl -u {unit}` on the node tells more")))
}

/// Has a unit started at boot, or no longer.
///
/// `systemctl enable` has systemd read all its units again, which takes longer than all else that a task does. Where nothing
/// can tell the difference, that waits for [`catch_up`] and is done once for all units.
///
/// # Errors
/// Fails where systemd says so.
pub fn set_enabled(machine: &Machine, unit: &str, enabled: bool) -> Result<()> {
    let verb = if enabled { "enable" } else { "disable" };
    if machine.image || !machine.paths.is_machine() || machine.bus.status(unit, false).is_none() {
        return tell(machine, verb, unit);
    }
    // On the disk, so that a run that is killed leaves the reading to the next one.
    files::make_folder(&machine.paths.run_dir(), 0o700)?;
    fs_err::write(machine.paths.units_unread(), "")?;
    let output =
        machine.commands.must(&Run::new(["systemctl", "--no-ask-password", "--no-reload", verb, "--", unit]))?;
    let is_active = |unit: &str| machine.bus.status(unit, false).is_some_and(|status| status.active == "active");
    if wanting(&output.stderr).is_some_and(|units| units.iter().all(|unit| is_active(unit))) {
        return Ok(());
    }
    reload(machine)
}

/// The units that now want another one or no longer do, from what `systemctl enable` tells of its links; `None` where it
/// tells of anything else, as a second name. What runs already starts nothing that it newly wants: only the next boot does.
fn wanting(told: &str) -> Option<Vec<&str>> {
    fn unit(line: &str) -> Option<&str> {
        let (_, path) = line.split_once('/')?;
        let (folder, _) = path.split(['\'', ' ']).next()?.rsplit_once('/')?;
        line.starts_with(['C', 'R']).then_some(folder.rsplit('/').next()?.strip_suffix(".wants")?)
    }
    let units: Vec<&str> = told.lines().map(unit).collect::<Option<_>>()?;
    (!units.is_empty()).then_some(units)
}

/// Has systemd read its units where [`set_enabled`] put that off, in this run or in one that was killed.
///
/// # Errors
/// Fails where systemd says so.
pub fn catch_up(machine: &Machine) -> Result<()> {
    if machine.paths.units_unread().exists() { reload(machine) } else { Ok(()) }
}

/// Has systemd read its unit files again; nothing to do where none runs.
///
/// # Errors
/// Fails where systemd says so.
pub fn reload(machine: &Machine) -> Result<()> {
    if !machine.image {
        machine.commands.must(&Run::new(["systemctl", "--no-ask-password", "daemon-reload"]))?;
        files::remove(&machine.paths.units_unread())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_of_what_is_wanted_can_wait() {
        let created =
            "Created symlink /etc/systemd/system/multi-user.target.wants/a.service → /etc/systemd/system/a.service.\n";
        let quoted =
            "Created symlink '/etc/systemd/system/timers.target.wants/b.timer' → '/etc/systemd/system/b.timer'.\n";
        let removed = "Removed /etc/systemd/system/multi-user.target.wants/a.service.\n";
        let alias = "Created symlink /etc/systemd/system/sshd.service → /lib/systemd/system/ssh.service.\n";
        assert_eq!(wanting(created), Some(vec!["multi-user.target"]));
        assert_eq!(wanting(quoted), Some(vec!["timers.target"]));
        assert_eq!(wanting(removed), Some(vec!["multi-user.target"]));
        assert_eq!(wanting(&format!("{created}{alias}")), None);
        assert_eq!(wanting(&format!("{created}Warning: x/y.wants/z\n")), None);
        assert_eq!(wanting(""), None);
    }

    #[test]
    fn names_get_their_suffix_and_options_are_refused() {
        assert_eq!(unit_name("ssh").unwrap(), "ssh.service");
        assert_eq!(unit_name("agent@acme").unwrap(), "agent@acme.service");
        assert_eq!(unit_name("a.timer").unwrap(), "a.timer");
        for name in ["", "--now", "a/b", "a b"] {
            assert!(unit_name(name).is_err(), "{name}");
        }
    }
}
