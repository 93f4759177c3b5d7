//! `secret`: what was delivered (by [`crate::wire::message::Request::SecretPut`]) reaches those who need it.

use std::collections::BTreeMap;

use super::{check_path, content};
use crate::error::Context;
use crate::node::exec::Run;
use crate::node::files::{self, Attributes, Draft};
use crate::node::machine::{Change, Converge, Inputs, Machine};
use crate::node::{Paths, secrets, systemd};
use crate::wire::action::Secret;
use crate::wire::envelope::check_name;
use crate::{Error, Result};

/// The version of each secret that each of its users (a unit, a path) has seen: `NAME` to `USER` to version.
type Seen = BTreeMap<String, BTreeMap<String, u64>>;

impl Converge for Secret {
    fn changes(&self, machine: &Machine, _: &Inputs) -> Result<Vec<Change>> {
        let name = &self.name;
        check_name(name)?;
        if self.credential.as_ref().is_some_and(|credential| credential != name) {
            return Err(Error::input(format!("the credential of the secret {name} is {name} as well")).hint(
                "what is encrypted is bound to its name; a unit can rename it: LoadCredentialEncrypted=OTHER:…",
            ));
        }
        let version = match secrets::status(&machine.paths)?.into_iter().find(|held| held.name == *name) {
            Some(held) if held.present => held.version,
            _ => {
                return Err(Error::failed(format!("the secret {name} was not delivered to this node"))
                    .hint(format!("give its value: `stead secret set WORKSPACE {name}`")));
            }
        };
        let seen = read(&machine.paths)?;
        let has_seen = |user: &str| seen.get(name).and_then(|users| users.get(user)).copied();
        let mut changes = Vec::new();
        if let Some(path) = &self.path {
            changes.extend(self.file(machine, path, version, has_seen(path) == Some(version))?);
        }
        for unit in &self.restart {
            let unit = systemd::unit_name(unit)?;
            if has_seen(&unit) == Some(version) || machine.image {
                continue;
            }
            let (name, running) = (name.clone(), systemd::status(machine, &unit)?.is_running());
            // A unit that does not run takes the value when it starts.
            let message =
                if running { format!("restart {unit} for {name}") } else { format!("{name} waits for {unit}") };
            changes.push(Change::new(message, move |machine, _| {
                systemd::tell(machine, "try-restart", &unit)?;
                note(&machine.paths, &name, &unit, version)
            }));
        }
        Ok(changes)
    }
}

impl Secret {
    /// The value in the clear, in memory only.
    fn file(&self, machine: &Machine, path: &str, version: u64, is_current: bool) -> Result<Option<Change>> {
        if !check_path(path)?.starts_with("/run") {
            return Err(Error::input(format!("a secret is not written in the clear to {path}"))
                .hint("give a path below /run, which is memory, or use `credential`"));
        }
        let place = machine.paths.at(path);
        let found = place.symlink_metadata().ok().filter(std::fs::Metadata::is_file);
        let had = found.as_ref().map(Attributes::of);
        let mode = Some(self.mode.as_deref().unwrap_or("0400"));
        let wanted = content::attributes(machine, had, self.owner.as_deref(), None, mode, 0o400)?;
        if is_current && let Some(found) = &found {
            return Ok(content::attribute_change(path, &place, found, wanted));
        }
        let (name, path) = (self.name.clone(), path.to_owned());
        Ok(Some(Change::new(format!("write version {version} of {name} to {path}"), move |machine, _| {
            let wanted = wanted.ok_or_else(|| Error::failed("its owner is not there"))?;
            let draft = Draft::new(&place, b"", wanted)?;
            let credential = machine.paths.credential(&name);
            let mut run = Run::new(["systemd-creds", "decrypt", &format!("--name={name}"), credential.as_str(), "-"]);
            run.stdout_to = Some(draft.draft_path().to_owned());
            machine.commands.must(&run)?;
            draft.put_in_place()?;
            note(&machine.paths, &name, &path, version)
        })))
    }
}

fn read(paths: &Paths) -> Result<Seen> {
    match fs_err::read(paths.secrets_seen()) {
        // A broken note costs a restart, no more.
        Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Seen::new()),
        Err(error) => Err(error).context("reading which secrets were seen"),
    }
}

fn note(paths: &Paths, name: &str, user: &str, version: u64) -> Result<()> {
    let mut seen = read(paths)?;
    seen.entry(name.to_owned()).or_default().insert(user.to_owned(), version);
    let text = serde_json::to_vec(&seen).map_err(|error| Error::failed("noting a secret's version").because(error))?;
    files::replace(&paths.secrets_seen(), &text, 0o600)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::Bench;
    use crate::node::exec::Output;

    fn bench() -> Bench {
        Bench::answering(|run| {
            if let Some(path) = &run.stdout_to {
                std::fs::write(path, "the value").unwrap();
            }
            Output { stdout: "LoadState=loaded\nActiveState=active\n".into(), ..Output::default() }
        })
    }

    /// Does as a delivery does.
    fn deliver(bench: &Bench, version: u64) {
        let record = json!({"format": 1, "version": version, "fingerprint": "f", "salt": "", "fingerprint_key": ""});
        std::fs::write(bench.at("/var/lib/stead/secrets/KEY.json"), record.to_string()).unwrap();
        std::fs::create_dir_all(bench.at("/etc/credstore.encrypted")).unwrap();
        std::fs::write(bench.at("/etc/credstore.encrypted/KEY"), "").unwrap();
    }

    #[test]
    fn units_are_restarted_once_for_each_version() {
        let bench = bench();
        let task = json!({"secret": {"name": "KEY", "credential": "KEY", "restart": "agent@a"}});
        assert!(bench.check(task.clone()).unwrap_err().hints()[0].contains("stead secret set"));
        for version in [1, 2] {
            deliver(&bench, version);
            assert_eq!(bench.apply(task.clone()).unwrap(), ["restart agent@a.service for KEY"]);
        }
    }

    #[test]
    fn the_clear_value_goes_to_memory_only() {
        let bench = bench();
        std::fs::create_dir_all(bench.at("/run")).unwrap();
        deliver(&bench, 7);
        let task = json!({"secret": {"name": "KEY", "path": "/run/key", "owner": "me"}});
        assert_eq!(bench.apply(task).unwrap(), ["write version 7 of KEY to /run/key"]);
        assert_eq!(bench.read("/run/key"), "the value");
        assert!(bench.check(json!({"secret": {"name": "KEY", "path": "/etc/key"}})).is_err());
        assert!(bench.check(json!({"secret": {"name": "../KEY"}})).is_err());
    }
}
