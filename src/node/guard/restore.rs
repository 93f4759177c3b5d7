//! Putting back what was there. One thing that cannot be put back does not keep the others from it.

use super::record::{Entry, Record, Undone, Was};
use super::watch;
use crate::node::exec::Run;
use crate::node::files::{self, Attributes, Draft};
use crate::node::machine::Touch;
use crate::node::systemd::UnitStatus;
use crate::node::{Machine, Paths, systemd};
use crate::{Error, Result};

/// Takes a run's guarded changes back, the last one first, and tells what it was. While the machine boots, nothing runs yet
/// that would have to be restarted.
pub(super) fn restore(machine: &Machine, record: &Record, booting: bool) -> Result<String> {
    let mut told = Vec::new();
    let mut tell = |entry: &Entry, result: Result<()>| {
        let name = name(&entry.touch);
        match result {
            Ok(()) => told.push(name),
            Err(error) => told.push(format!("{name} (NOT put back: {})", error.one_line())),
        }
    };
    let is_unit = |entry: &&Entry| matches!(entry.touch, Touch::Unit(_) | Touch::UnitFiles);
    for entry in record.entries.iter().rev().filter(|entry| !is_unit(entry)) {
        tell(entry, put_back(machine, entry, booting));
    }
    // After the files, since units are started with what lies there.
    if record.entries.iter().any(|entry| is_unit(&entry)) {
        systemd::reload(machine)?;
    }
    for entry in record.entries.iter().rev().filter(is_unit) {
        tell(entry, put_back(machine, entry, booting));
    }
    let what = told.join(", ");
    Undone::new(&record.id, &what).save(&machine.paths)?;
    // A run that is gone on with would take for done what is undone now.
    for journal in [machine.paths.journal(), machine.paths.journal_over_boot()] {
        files::remove(&journal)?;
    }
    watch::lift(&machine.paths)?;
    Ok(what)
}

fn name(touch: &Touch) -> String {
    match touch {
        Touch::Path(path) => path.clone(),
        Touch::Unit(unit) => unit.clone(),
        Touch::UnitFiles => "systemd's units".to_owned(),
        Touch::Ruleset => "the packet filter's rules".to_owned(),
        Touch::Sysctl(name) => name.clone(),
    }
}

fn put_back(machine: &Machine, entry: &Entry, booting: bool) -> Result<()> {
    match (&entry.touch, &entry.was) {
        (Touch::Path(path), was) => file(&machine.paths, path, was),
        (Touch::Unit(unit), Was::Unit { running, enabled }) => self::unit(machine, unit, *running, enabled, booting),
        // At boot the kernel has no rules yet, and every parameter is its own.
        (Touch::Ruleset | Touch::Sysctl(_), _) if booting => Ok(()),
        (Touch::Ruleset, Was::Text(rules)) => {
            let mut run = Run::new(["nft", "-f", "-"]);
            run.stdin = Some(format!("flush ruleset\n{rules}").into_bytes());
            machine.commands.must(&run).map(drop)
        }
        (Touch::Sysctl(name), Was::Text(value)) => {
            Ok(fs_err::write(machine.paths.at(format!("/proc/sys/{}", name.replace('.', "/"))), value)?)
        }
        (Touch::UnitFiles, _) => Ok(()),
        (touch, was) => Err(Error::failed(format!("the record says of {} that it was {was:?}", name(touch)))),
    }
}

fn file(paths: &Paths, path: &str, was: &Was) -> Result<()> {
    let place = paths.at(path);
    let is = place.symlink_metadata().ok();
    let is_folder = is.as_ref().is_some_and(std::fs::Metadata::is_dir);
    match was {
        Was::Absent if is_folder => Ok(fs_err::remove_dir(&place)?),
        Was::Absent => files::remove(&place),
        Was::File { content, uid, gid, mode } => {
            if let Some(folder) = place.parent() {
                files::make_folder(folder, 0o755)?;
            }
            let attributes = Attributes { uid: *uid, gid: *gid, mode: *mode };
            Draft::taking(&place, &paths.guard_content(*content), true, attributes)?.put_in_place()
        }
        Was::Link(target) => {
            files::remove(&place)?;
            fs_err::os::unix::fs::symlink(target, &place)?;
            files::sync_parent(&place)
        }
        Was::Folder { uid, gid, mode } => {
            files::make_folder(&place, 0o700)?;
            let found = fs_err::symlink_metadata(&place)?;
            files::set_attributes(&place, &found, Attributes { uid: *uid, gid: *gid, mode: *mode })
        }
        other => Err(Error::failed(format!("the record says of {path} that it was {other:?}"))),
    }
}

fn unit(machine: &Machine, unit: &str, running: bool, enabled: &str, booting: bool) -> Result<()> {
    let is = systemd::status(machine, unit)?;
    let was = UnitStatus { enabled: enabled.to_owned(), ..UnitStatus::default() };
    let tell = |verb: &str| systemd::tell(machine, verb, unit);
    if is.is_masked() && !was.is_masked() {
        tell("unmask")?;
    }
    match (is.enabled.as_str(), enabled) {
        (is, was) if is == was => {}
        (_, "enabled") => tell("enable")?,
        (_, "disabled") => tell("disable")?,
        (_, masked) if masked.starts_with("masked") => tell("mask")?,
        _ => {}
    }
    // At boot the unit is started, or not, by what was just put back.
    if booting {
        return Ok(());
    }
    tell(if running { "restart" } else { "stop" })
}
