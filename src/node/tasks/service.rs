//! `service`.

use super::unit::{enabling, reading, telling};
use crate::node::machine::{Change, Converge, Inputs, Machine};
use crate::node::systemd;
use crate::wire::action::{Service, ServiceState};
use crate::{Error, Result};

impl Converge for Service {
    fn changes(&self, machine: &Machine, _: &Inputs) -> Result<Vec<Change>> {
        let unit = systemd::unit_name(&self.name)?;
        let mut changes = Vec::new();
        if self.daemon_reload && !machine.image {
            changes.push(reading());
        }
        let status = systemd::status(machine, &unit)?;
        if !status.exists() && !self.daemon_reload && !machine.may_come() {
            if self.is_at_rest() {
                return Ok(changes);
            }
            return Err(Error::failed(format!("there is no unit {unit} on the node"))
                .hint("a `package` or `unit` task before this one brings it"));
        }
        if let Some(masked) = self.masked
            && masked != status.is_masked()
        {
            changes.push(telling(if masked { "mask" } else { "unmask" }, unit.clone()));
        }
        // A masked unit has no other state than that.
        let enabled = self.enabled.filter(|_| self.masked != Some(true));
        if let Some(enabled) = enabled
            && (enabled != status.is_enabled() || !status.exists())
        {
            changes.push(enabling(unit.clone(), enabled));
        }
        // In an image's root nothing runs, and nothing is started.
        let verb = match self.state.filter(|_| !machine.image) {
            Some(ServiceState::Started) if !status.is_running() => "start",
            Some(ServiceState::Stopped) if status.is_running() => "stop",
            Some(ServiceState::Restarted) => "restart",
            Some(ServiceState::Reloaded) => "reload-or-restart",
            _ => return Ok(changes),
        };
        changes.push(telling(verb, unit));
        Ok(changes)
    }
}

impl Service {
    /// Whether a unit that does not exist is as the task wants it.
    fn is_at_rest(&self) -> bool {
        self.enabled != Some(true)
            && self.masked != Some(true)
            && matches!(self.state, None | Some(ServiceState::Stopped))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::Bench;
    use crate::node::exec::Output;

    fn bench(load: &'static str, active: &'static str, enabled: &'static str) -> Bench {
        Bench::answering(move |run| Output {
            stdout: match run.argv[1].as_str() {
                "show" => format!("LoadState={load}\nActiveState={active}\nUnitFileState={enabled}\n"),
                "is-enabled" => format!("{enabled}\n"),
                _ => String::new(),
            },
            ..Output::default()
        })
    }

    #[test]
    fn what_is_as_it_should_be_is_left_alone() {
        let service = json!({"service": {"name": "ssh", "state": "started", "enabled": true}});
        assert!(bench("loaded", "active", "enabled").check(service.clone()).unwrap().is_empty());
        let told = bench("loaded", "inactive", "disabled").check(service.clone()).unwrap();
        assert_eq!(told, ["enable ssh.service", "start ssh.service"]);
        assert!(bench("not-found", "inactive", "").check(service).is_err());
    }

    #[test]
    fn restarts_are_always_a_change_and_absence_can_be_right() {
        let restart = json!({"service": {"name": "ssh", "state": "restarted"}});
        assert_eq!(bench("loaded", "active", "enabled").check(restart).unwrap(), ["restart ssh.service"]);
        let off = json!({"service": {"name": "nope", "state": "stopped", "enabled": false}});
        assert!(bench("not-found", "inactive", "").check(off).unwrap().is_empty());
        let mask = json!({"service": {"name": "x", "masked": true}});
        assert_eq!(bench("loaded", "inactive", "disabled").check(mask.clone()).unwrap(), ["mask x.service"]);
        assert!(bench("masked", "inactive", "masked").check(mask).unwrap().is_empty());
    }

    #[test]
    fn in_an_image_services_are_enabled_and_never_started() {
        let mut bench = bench("", "", "disabled");
        bench.machine.image = true;
        let service = json!({"service": {"name": "ssh", "state": "started", "enabled": true, "daemon_reload": true}});
        assert_eq!(bench.check(service).unwrap(), ["enable ssh.service"]);
        assert_eq!(bench.ran(), ["systemctl is-enabled -- ssh.service"]);
    }
}
