//! `unit`.

use super::content;
use crate::node::machine::{Change, Converge, Inputs, Machine, Touch};
use crate::node::made::Made;
use crate::node::systemd;
use crate::wire::action::{Action, FileCommon, Presence, Unit};
use crate::{Error, Result};

impl Converge for Unit {
    fn changes(&self, machine: &Machine, inputs: &Inputs) -> Result<Vec<Change>> {
        let unit = systemd::unit_name(&self.name)?;
        let path = match &self.drop_in {
            Some(name) => {
                systemd::unit_name(name)?;
                format!("/etc/systemd/system/{unit}.d/{}.conf", name.trim_end_matches(".conf"))
            }
            None => format!("/etc/systemd/system/{unit}"),
        };
        let text = inputs.held().or(self.content.as_ref().map(String::as_bytes));
        if self.state == Presence::Present && text.is_none() {
            return Err(Error::input(format!("the unit {unit} has neither `template` nor `content`")));
        }
        let mode = (self.state == Presence::Present).then(|| "0644".to_owned());
        let common = FileCommon { mode, state: self.state, ..FileCommon::default() };
        let mut changes = Vec::new();
        if self.state == Presence::Absent && self.drop_in.is_none() && machine.paths.at(&path).exists() {
            changes.extend(retirement(machine, &unit)?);
        }
        let file = content::with_folder(machine, &path, content::changes(machine, &path, text, &common)?);
        let written = !file.is_empty();
        changes.extend(file);
        if written {
            changes.push(reading());
        }
        if let (Some(enabled), Presence::Present) = (self.enabled, self.state) {
            let status = systemd::status(machine, &unit)?;
            if status.is_enabled() != enabled || (!status.exists() && enabled) {
                changes.push(enabling(unit, enabled));
            }
        }
        Ok(changes)
    }

    fn makes(&self) -> Vec<Made> {
        let removal =
            Unit { name: self.name.clone(), drop_in: self.drop_in.clone(), state: Presence::Absent, ..Unit::default() };
        let makes = self.state == Presence::Present;
        makes.then(|| Made::Task(Box::new(Action::Unit(removal)))).into_iter().collect()
    }
}

/// Starting a unit at boot, or no longer.
pub(super) fn enabling(unit: String, enabled: bool) -> Change {
    let touch = Touch::Unit(unit.clone());
    let message = format!("{} {unit}", if enabled { "enable" } else { "disable" });
    Change::new(message, move |machine, _| systemd::set_enabled(machine, &unit, enabled)).touching(touch)
}

/// Something that systemd is told to do with a unit.
pub(super) fn telling(verb: &'static str, unit: String) -> Change {
    let touch = Touch::Unit(unit.clone());
    Change::new(format!("{verb} {unit}"), move |machine, _| systemd::tell(machine, verb, &unit)).touching(touch)
}

/// systemd's reading of its unit files.
pub(super) fn reading() -> Change {
    let change = Change::new("have systemd read its units again", |machine, _| systemd::reload(machine));
    change.touching(Touch::UnitFiles)
}

/// A unit is stopped and disabled before its file goes, since afterwards systemd no longer knows what it wanted.
fn retirement(machine: &Machine, unit: &str) -> Result<Vec<Change>> {
    // Of a template only instances run.
    if unit.contains("@.") {
        return Ok(Vec::new());
    }
    let status = systemd::status(machine, unit)?;
    let mut changes = Vec::new();
    if status.is_running() {
        changes.push(telling("stop", unit.to_owned()));
    }
    if status.enabled == "enabled" {
        changes.push(enabling(unit.to_owned(), false));
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::Bench;
    use crate::node::exec::Output;

    fn bench(state: &'static str) -> Bench {
        Bench::answering(move |run| Output {
            stdout: if run.argv[1] == "show" { format!("LoadState=loaded\n{state}\n") } else { String::new() },
            ..Output::default()
        })
    }

    #[test]
    fn a_unit_is_written_read_and_enabled() {
        let bench = bench("UnitFileState=disabled");
        let unit = json!({"unit": {"name": "a", "content": "[Service]\n", "enabled": true}});
        let told = bench.apply_once(unit).unwrap();
        assert_eq!(
            told,
            ["create /etc/systemd/system/a.service", "have systemd read its units again", "enable a.service"]
        );
        assert_eq!(
            &bench.ran()[1..],
            ["systemctl --no-ask-password daemon-reload", "systemctl --no-ask-password enable -- a.service"]
        );
        assert!(bench.check(json!({"unit": {"name": "a", "content": "[Service]\n"}})).unwrap().is_empty());
    }

    #[test]
    fn a_drop_in_leaves_the_unit_alone() {
        let bench = bench("");
        let unit = json!({"unit": {"name": "ssh.service", "drop_in": "10-x", "content": "[Unit]\n"}});
        assert_eq!(bench.apply(unit).unwrap().len(), 3);
        assert_eq!(bench.read("/etc/systemd/system/ssh.service.d/10-x.conf"), "[Unit]\n");
    }

    #[test]
    fn a_unit_is_stopped_before_it_goes() {
        let bench = bench("ActiveState=active\nUnitFileState=enabled");
        std::fs::write(bench.at("/etc/systemd/system/a.service"), "").unwrap();
        let told = bench.apply(json!({"unit": {"name": "a", "state": "absent"}})).unwrap();
        assert_eq!(told[..2], ["stop a.service", "disable a.service"]);
        assert!(!bench.at("/etc/systemd/system/a.service").exists());
    }
}
