//! Stopping what works with the data, so that it stays as it is until another node has it; and starting it again.
//!
//! What is stopped was brought by playbooks: units below `/etc/systemd/system`, but for our own, and services with a state of their
//! own and no user of their own. They stay stopped over a boot as well.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::error::Context;
use crate::node::exec::{Commands, Run};
use crate::node::{Paths, files};
use crate::{Error, Result};

/// What keeps a unit from being started while the record is there.
const DROP_IN: &str = "90-stead-stopped.conf";
/// The kinds of units that run something, or have it run.
const KINDS: &str = "--type=service,timer,path,socket";

/// What was stopped.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Stopped {
    units: Vec<String>,
}

/// Stops the workload, and keeps it stopped. May be repeated.
///
/// # Errors
/// Fails where a unit does not stop.
pub(crate) fn stop(paths: &Paths, commands: &dyn Commands) -> Result<()> {
    let mut stopped = read(paths)?.unwrap_or_default();
    stopped.units.extend(running(commands)?);
    stopped.units.sort();
    stopped.units.dedup();
    // Before anything is stopped: what is not written down would not be started again.
    let json = serde_json::to_vec(&stopped).map_err(|error| Error::failed("encoding a record").because(error))?;
    files::replace(&paths.stopped(), &json, 0o600)?;
    if stopped.units.is_empty() {
        return Ok(());
    }
    for unit in &stopped.units {
        let folder = paths.units().join(format!("{unit}.d"));
        files::make_folder(&folder, 0o755)?;
        let condition =
            format!("# Stead hands this node's data over.\n[Unit]\nConditionPathExists=!{}\n", paths.stopped());
        files::replace(&folder.join(DROP_IN), condition.as_bytes(), 0o644)?;
    }
    commands.must(&Run::new(["systemctl", "daemon-reload"]))?;
    let stop = ["systemctl", "stop", "--"].into_iter().map(str::to_owned).chain(stopped.units);
    commands.must(&Run::new(stop)).context("stopping the workload").map(drop)
}

/// Starts what was stopped. Does nothing where nothing was.
///
/// # Errors
/// Fails where a unit does not start.
pub(crate) fn start(paths: &Paths, commands: &dyn Commands) -> Result<()> {
    let Some(stopped) = read(paths)? else { return Ok(()) };
    for unit in &stopped.units {
        let folder = paths.units().join(format!("{unit}.d"));
        files::remove(&folder.join(DROP_IN))?;
        // Others' drop-ins may lie there.
        let _ = std::fs::remove_dir(&folder);
    }
    commands.must(&Run::new(["systemctl", "daemon-reload"]))?;
    if !stopped.units.is_empty() {
        let told = |verb: &str| {
            let units = stopped.units.iter().cloned();
            Run::new(["systemctl".to_owned(), verb.to_owned(), "--".to_owned()].into_iter().chain(units))
        };
        // That they were started often, by whoever tries again and again, is no reason not to start them; none may be failed.
        commands.run(&told("reset-failed"))?;
        commands.must(&told("start")).context("starting the workload again")?;
    }
    // Last: until here it is done again.
    files::remove(&paths.stopped())
}

fn read(paths: &Paths) -> Result<Option<Stopped>> {
    let path: Utf8PathBuf = paths.stopped();
    let Some(bytes) = crate::atomic_file::read(&path)? else { return Ok(None) };
    let read = serde_json::from_slice(&bytes);
    read.map(Some).map_err(|error| Error::failed(format!("{path} is not a record of what was stopped")).because(error))
}

/// The units of the workload that run, or are about to.
fn running(commands: &dyn Commands) -> Result<Vec<String>> {
    let states = "--state=active,activating,reloading,deactivating";
    let listed =
        commands.must(&Run::new(["systemctl", "list-units", "--plain", "--no-legend", "--full", KINDS, states]))?;
    let names: Vec<&str> = listed.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let properties = "--property=Id,FragmentPath,DynamicUser,StateDirectory";
    let shown = Run::new(["systemctl", "show", properties, "--"].into_iter().chain(names));
    let shown = commands.must(&shown)?.stdout;
    Ok(shown.split("\n\n").filter_map(of_workload).collect())
}

/// The unit's name, from its properties, where it is part of the workload.
fn of_workload(properties: &str) -> Option<String> {
    let value = |key: &str| properties.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let id = value("Id").filter(|id| !id.is_empty() && !id.starts_with("stead-"))?;
    let is_brought = value("FragmentPath").is_some_and(|path| path.starts_with("/etc/systemd/system/"));
    let has_state =
        value("DynamicUser") == Some("yes") && value("StateDirectory").is_some_and(|state| !state.is_empty());
    (is_brought || has_state).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::exec::Output;
    use crate::node::tasks::testing::Bench;

    fn bench() -> Bench {
        Bench::answering(|run| {
            let stdout = match run.argv[1].as_str() {
                "list-units" => "agent@acme.service loaded active running x\nssh.service loaded active running y\n",
                "show" => {
                    "Id=agent@acme.service\nFragmentPath=/etc/systemd/system/agent@.service\nDynamicUser=yes\n\n\
                     Id=ssh.service\nFragmentPath=/usr/lib/systemd/system/ssh.service\nDynamicUser=no\n\n\
                     Id=stead-data.service\nFragmentPath=/etc/systemd/system/stead-data.service\n"
                }
                _ => "",
            };
            Output { stdout: stdout.into(), ..Output::default() }
        })
    }

    #[test]
    fn what_playbooks_brought_is_stopped_stays_so_and_is_started_again() {
        let bench = bench();
        let (paths, commands) = (&bench.machine.paths, &*bench.machine.commands);
        let drop_in = bench.at("/etc/systemd/system/agent@acme.service.d/90-stead-stopped.conf");
        for _ in 0..2 {
            stop(paths, commands).unwrap();
        }
        assert!(std::fs::read_to_string(&drop_in).unwrap().contains("ConditionPathExists=!"));
        assert!(bench.ran().contains(&"systemctl stop -- agent@acme.service".to_owned()), "{:?}", bench.ran());
        start(paths, commands).unwrap();
        assert_eq!(bench.ran().last().unwrap(), "systemctl start -- agent@acme.service");
        assert!(!drop_in.exists() && !drop_in.parent().unwrap().exists() && !paths.stopped().exists());
        let before = bench.ran().len();
        start(paths, commands).unwrap();
        assert_eq!(bench.ran().len(), before, "nothing was stopped");
    }
}
