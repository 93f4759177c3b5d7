//! `package`: apt does the work; dpkg's own record says whether there is any.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::node::dpkg::{self, Packages};
use crate::node::exec::Run;
use crate::node::files;
use crate::node::machine::{Change, Converge, Inputs, Machine};
use crate::node::made::Made;
use crate::wire::action::{Action, Package, PackageState};
use crate::{Error, Result};

/// Mirrors can be slow.
const TIMEOUT: Duration = Duration::from_secs(1800);

/// A run of apt's that asks nothing, keeps changed configuration files, and waits for another apt to end.
fn apt(program: &str, args: &[&str], names: &[String], timeout: Option<Duration>) -> Run {
    let mut argv = vec![program, "-q", "-y", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Options::=--force-confdef"];
    argv.extend(["-o", "Dpkg::Options::=--force-confold", "-o", "Acquire::Retries=3"]);
    argv.extend(args);
    argv.push("--");
    argv.extend(names.iter().map(String::as_str));
    let mut run = Run::new(argv);
    run.env =
        [("DEBIAN_FRONTEND", "noninteractive"), ("APT_LISTCHANGES_FRONTEND", "none"), ("NEEDRESTART_SUSPEND", "1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    run.timeout = Some(timeout.unwrap_or(TIMEOUT));
    run
}

/// What apt says, with the way out of what goes wrong most.
fn explain(error: Error) -> Error {
    let text = error.to_string();
    if text.contains("Unable to locate package") || text.contains("has no installation candidate") {
        error.hint("the sources of this suite do not have it: look at its name, or add `update_cache: true`")
    } else if text.contains("Temporary failure resolving") || text.contains("Could not connect") {
        error.hint("the node does not reach its package sources: look at its network and name resolution")
    } else if text.contains("dpkg was interrupted") {
        error.hint("run `dpkg --configure -a` on the node")
    } else if text.contains("NO_PUBKEY") || text.contains("is not signed") {
        error.hint("give the archive's key in the `signed_by` of its `apt_source`")
    } else {
        error
    }
}

impl Converge for Package {
    fn changes(&self, machine: &Machine, inputs: &Inputs) -> Result<Vec<Change>> {
        self.names.iter().try_for_each(|name| dpkg::check_name(name))?;
        let packages = machine.packages()?;
        let timeout = inputs.timeout;
        let mut changes = Vec::new();
        match self.state {
            PackageState::Present | PackageState::Latest => {
                let missing = differing(&self.names, &packages, false);
                if !missing.is_empty() {
                    let update = self.update_cache;
                    changes.push(Change::new(format!("install {}", missing.join(" ")), move |machine, output| {
                        if update || !has_lists(machine) {
                            update_lists(machine, timeout)?;
                        }
                        let run = apt("apt-get", &["install", "--no-install-recommends"], &missing, timeout);
                        *output = machine.commands.must(&run).map_err(explain)?;
                        Ok(())
                    }));
                }
                if self.state == PackageState::Latest {
                    changes.extend(self.upgrade(machine, &packages, timeout)?);
                }
            }
            PackageState::Absent => {
                let there = differing(&self.names, &packages, true);
                if !there.is_empty() {
                    changes.push(Change::new(format!("remove {}", there.join(" ")), move |machine, output| {
                        *output =
                            machine.commands.must(&apt("apt-get", &["purge"], &there, timeout)).map_err(explain)?;
                        Ok(())
                    }));
                }
            }
        }
        if let (Some(hold), false) = (self.hold, self.state == PackageState::Absent) {
            let held = |name: &String| packages.get(plain(name)).is_some_and(|package| package.held);
            let names: Vec<String> = self.names.iter().filter(|name| held(name) != hold).cloned().collect();
            if !names.is_empty() {
                let verb = if hold { "hold" } else { "unhold" };
                changes.push(Change::new(format!("{verb} {}", names.join(" ")), move |machine, _| {
                    let names = names.iter().map(|name| plain(name).to_owned());
                    let argv = ["apt-mark", verb, "--"].map(str::to_owned).into_iter().chain(names);
                    machine.commands.must(&Run::new(argv)).map(drop)
                }));
            }
        }
        Ok(changes)
    }

    fn makes(&self) -> Vec<Made> {
        let names = self.names.iter().filter(|_| self.state != PackageState::Absent);
        let removal = |name: &String| Package {
            names: vec![plain(name).to_owned()],
            state: PackageState::Absent,
            ..Package::default()
        };
        names.map(|name| Made::Task(Box::new(Action::Package(removal(name))))).collect()
    }
}

impl Package {
    /// What a newer version is offered for, among the packages that are installed. apt says so itself, in a dry run.
    fn upgrade(&self, machine: &Machine, packages: &Packages, timeout: Option<Duration>) -> Result<Option<Change>> {
        let installed: Vec<String> = differing(&self.names, packages, true);
        if installed.is_empty() {
            return Ok(None);
        }
        if (self.update_cache || is_outdated(machine)) && !machine.check {
            update_lists(machine, timeout)?;
        }
        let dry = apt("apt-get", &["install", "--dry-run", "--only-upgrade"], &installed, timeout);
        let output = machine.commands.must(&dry).map_err(explain)?;
        let newer: BTreeSet<&str> =
            output.stdout.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next()).collect();
        let newer: Vec<String> = newer.into_iter().map(str::to_owned).collect();
        if newer.is_empty() {
            return Ok(None);
        }
        Ok(Some(Change::new(format!("upgrade {}", newer.join(" ")), move |machine, output| {
            let run = apt("apt-get", &["install", "--only-upgrade"], &installed, timeout);
            *output = machine.commands.must(&run).map_err(explain)?;
            Ok(())
        })))
    }
}

/// A name without the version behind it.
fn plain(name: &str) -> &str {
    name.split('=').next().unwrap_or(name)
}

/// The packages that are (or are not) installed; one that is wanted in another version than it has counts as missing.
fn differing(names: &[String], packages: &Packages, installed: bool) -> Vec<String> {
    let is = |name: &String| {
        packages.get(plain(name)).is_some_and(|package| {
            package.installed && name.split_once('=').is_none_or(|(_, version)| version == package.version)
        })
    };
    let mut seen = BTreeSet::new();
    names.iter().filter(|name| is(name) == installed && seen.insert(*name)).cloned().collect()
}

/// Whether apt knows its sources' packages; an image's root often has no lists of them.
fn has_lists(machine: &Machine) -> bool {
    let is_list = |name: std::ffi::OsString| name.to_string_lossy().contains("_Packages");
    !is_outdated(machine)
        && fs_err::read_dir(machine.paths.at("/var/lib/apt/lists"))
            .is_ok_and(|entries| entries.flatten().any(|entry| is_list(entry.file_name())))
}

/// Whether a source has changed since apt was asked last.
fn is_outdated(machine: &Machine) -> bool {
    machine.paths.apt_outdated().exists()
}

/// Notes that a source is about to change. On disk, so that it is known also where this run breaks before a package of
/// that source is installed.
pub(super) fn outdate(machine: &Machine) -> Result<()> {
    files::make_folder(&machine.paths.state_dir(), 0o700)?;
    files::replace(&machine.paths.apt_outdated(), b"", 0o600)
}

fn update_lists(machine: &Machine, timeout: Option<Duration>) -> Result<()> {
    let run = apt("apt-get", &["update", "--error-on=any"], &[], timeout);
    machine.commands.must(&run).map_err(explain)?;
    files::remove(&machine.paths.apt_outdated())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::Bench;
    use crate::node::exec::Output;

    const DPKG: &str = "Package: dpkg\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n";

    fn bench() -> Bench {
        let bench = Bench::answering(|run| Output {
            stdout: if run.argv.contains(&"--dry-run".to_owned()) {
                "Inst curl [1] (2)\n".into()
            } else {
                String::new()
            },
            ..Output::default()
        });
        let curl = "Package: curl\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n";
        std::fs::write(bench.at("/var/lib/dpkg/status"), format!("{DPKG}{curl}")).unwrap();
        bench
    }

    #[test]
    fn only_what_is_missing_is_installed() {
        let bench = bench();
        let told = bench.apply_once(json!({"package": {"names": ["curl", "jq", "jq"]}})).unwrap();
        assert_eq!(told, ["install jq"]);
        let ran = bench.ran();
        assert!(ran[0].contains("apt-get") && ran[0].contains(" update "), "no lists yet: {ran:?}");
        assert!(ran[1].ends_with("install --no-install-recommends -- jq"), "{ran:?}");
        assert!(bench.apply(json!({"package": {"names": "curl"}})).unwrap().is_empty());
        assert!(bench.ran().is_empty(), "nothing is run where nothing is to be done");
        assert_eq!(bench.check(json!({"package": {"names": "curl=2"}})).unwrap(), ["install curl=2"]);
    }

    #[test]
    fn removal_hold_and_upgrade() {
        let bench = bench();
        let absent = json!({"package": {"names": ["curl", "jq"], "state": "absent"}});
        assert_eq!(bench.check(absent).unwrap(), ["remove curl"]);
        assert_eq!(bench.check(json!({"package": {"names": "curl", "hold": true}})).unwrap(), ["hold curl"]);
        let latest = json!({"package": {"names": ["curl"], "state": "latest"}});
        assert_eq!(bench.check(latest).unwrap(), ["upgrade curl"]);
    }

    #[test]
    fn a_name_is_never_an_option() {
        assert!(bench().check(json!({"package": {"names": ["--allow-unauthenticated"]}})).is_err());
    }
}
