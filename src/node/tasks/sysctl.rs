//! `sysctl`.

use super::{content, text};
use crate::node::machine::{Change, Converge, Inputs, Machine, Touch};
use crate::node::made::Made;
use crate::wire::action::{Action, FileCommon, Presence, Sysctl};
use crate::{Error, Result};

/// One file for all: sorts after Debian's own.
const FILE: &str = "/etc/sysctl.d/90-stead.conf";

impl Converge for Sysctl {
    fn changes(&self, machine: &Machine, _: &Inputs) -> Result<Vec<Change>> {
        let name = self.name.clone();
        let legal = !name.is_empty()
            && !name.contains("..")
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
            && !self.value.contains('\n');
        if !legal {
            return Err(Error::input(format!("{name:?} = {:?} is no kernel parameter", self.value)));
        }
        let old = text::read(machine, FILE)?.unwrap_or_default();
        let other = |line: &&str| line.split('=').next().map(str::trim) != Some(name.as_str());
        let mut lines: Vec<String> = old.lines().filter(other).map(str::to_owned).collect();
        if self.state == Presence::Present {
            if self.value.is_empty() {
                return Err(Error::input(format!("the kernel parameter {name} has no value")));
            }
            lines.push(format!("{name} = {}", self.value));
        }
        lines.sort();
        let new: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        let mut changes = Vec::new();
        if new != old {
            changes = content::changes(machine, FILE, Some(new.as_bytes()), &FileCommon::default())?;
        }
        if machine.image || self.state == Presence::Absent {
            return Ok(changes);
        }
        let place = machine.paths.at(format!("/proc/sys/{}", name.replace('.', "/")));
        // A kernel without the parameter has nothing to set; the file stands for one that has.
        let Ok(has) = fs_err::read_to_string(&place) else { return Ok(changes) };
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        if words(&has) == words(&self.value) || !is_writable(&place) {
            return Ok(changes);
        }
        let value = self.value.clone();
        let change = Change::new(format!("set {name} to {value}"), move |_, _| Ok(fs_err::write(&place, value)?));
        changes.push(change.touching(Touch::Sysctl(name)));
        Ok(changes)
    }

    fn makes(&self) -> Vec<Made> {
        let removal = Sysctl { name: self.name.clone(), state: Presence::Absent, ..Sysctl::default() };
        let makes = self.state == Presence::Present;
        makes.then(|| Made::Task(Box::new(Action::Sysctl(removal)))).into_iter().collect()
    }
}

/// A container's kernel parameters are the host's, and mounted read-only.
fn is_writable(place: &camino::Utf8Path) -> bool {
    rustix::fs::access(place.as_std_path(), rustix::fs::Access::WRITE_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::Bench;

    #[test]
    fn a_parameter_is_written_for_the_next_boot_and_set_now() {
        let bench = Bench::new();
        for folder in ["/etc/sysctl.d", "/proc/sys/net/ipv4"] {
            std::fs::create_dir_all(bench.at(folder)).unwrap();
        }
        std::fs::write(bench.at("/proc/sys/net/ipv4/tcp_rmem"), "1\t2\t3\n").unwrap();
        let set = |value: &str| json!({"sysctl": {"name": "net.ipv4.tcp_rmem", "value": value}});
        assert_eq!(bench.apply(set("1 2 3")).unwrap(), ["create /etc/sysctl.d/90-stead.conf"]);
        assert_eq!(bench.apply(set("4 5 6")).unwrap().len(), 2);
        assert_eq!(bench.read("/proc/sys/net/ipv4/tcp_rmem"), "4 5 6");
        bench.apply(json!({"sysctl": {"name": "kernel.none", "value": "1"}})).unwrap();
        assert_eq!(bench.read("/etc/sysctl.d/90-stead.conf"), "kernel.none = 1\nnet.ipv4.tcp_rmem = 4 5 6\n");
        bench.apply(json!({"sysctl": {"name": "kernel.none", "state": "absent"}})).unwrap();
        assert!(bench.check(json!({"sysctl": {"name": "../etc/passwd", "value": "1"}})).is_err());
    }
}
