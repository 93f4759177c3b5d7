//! `user` and `group`.

use crate::node::accounts;
use crate::node::files;
use crate::node::machine::{Change, Converge, Inputs, Machine};
use crate::node::made::Made;
use crate::wire::action::{Action, Group, Presence, User};
use crate::{Error, Result};

impl Converge for Group {
    fn changes(&self, machine: &Machine, _: &Inputs) -> Result<Vec<Change>> {
        accounts::check_name(&self.name)?;
        let (name, gid, system) = (self.name.clone(), self.gid, self.system);
        let accounts = machine.accounts()?;
        Ok(match (accounts.gid(&name), self.state) {
            (None, Presence::Absent) => Vec::new(),
            (Some(has), Presence::Absent) if accounts.is_primary(has) && !machine.may_come() => {
                return Err(Error::failed(format!("the group {name} is some user's own and stays"))
                    .hint("remove the user first"));
            }
            (Some(_), Presence::Absent) => vec![Change::new(format!("remove the group {name}"), move |machine, _| {
                accounts::edit(&machine.paths, |accounts| {
                    accounts.remove_group(&name);
                    Ok(())
                })
            })],
            (None, Presence::Present) => vec![Change::new(format!("add the group {name}"), move |machine, _| {
                accounts::edit(&machine.paths, |accounts| accounts.add_group(&name, gid, system).map(drop))
            })],
            (Some(has), Presence::Present) => {
                same_number(&name, gid, has)?;
                Vec::new()
            }
        })
    }

    fn makes(&self) -> Vec<Made> {
        let removal = Group { name: self.name.clone(), state: Presence::Absent, ..Group::default() };
        let makes = self.state == Presence::Present;
        makes.then(|| Made::Task(Box::new(Action::Group(removal)))).into_iter().collect()
    }
}

/// A number is not changed once files belong to it.
fn same_number(name: &str, wanted: Option<u32>, has: u32) -> Result<()> {
    match wanted {
        Some(wanted) if wanted != has => Err(Error::failed(format!("{name} has the number {has}, not {wanted}"))
            .hint("files belong to the old number: change it by hand, or leave it out of the task")),
        _ => Ok(()),
    }
}

impl Converge for User {
    fn changes(&self, machine: &Machine, _: &Inputs) -> Result<Vec<Change>> {
        accounts::check_name(&self.name)?;
        let name = self.name.clone();
        let accounts = machine.accounts()?;
        let found = accounts.user(&name);
        if self.state == Presence::Absent {
            return Ok(found
                .map(|_| {
                    Change::new(format!("remove the user {name}"), move |machine, _| {
                        accounts::edit(&machine.paths, |accounts| {
                            accounts.remove_user(&name);
                            Ok(())
                        })
                    })
                })
                .into_iter()
                .collect());
        }
        let mut changes = Vec::new();
        let home = self.home.clone().unwrap_or_else(|| match &found {
            Some(found) => found.home.clone(),
            None if self.system => "/nonexistent".to_owned(),
            None => format!("/home/{name}"),
        });
        let shell = self.shell.clone().unwrap_or_else(|| match &found {
            Some(found) => found.shell.clone(),
            None if self.system => "/usr/sbin/nologin".to_owned(),
            None => "/bin/bash".to_owned(),
        });
        match &found {
            None => changes.push(self.addition(home.clone(), shell)),
            Some(found) => {
                same_number(&name, self.uid, found.uid)?;
                if (found.home.as_str(), found.shell.as_str()) != (home.as_str(), shell.as_str()) {
                    let name = name.clone();
                    let message = format!("{name}: home {home}, shell {shell}");
                    let home = home.clone();
                    changes.push(Change::new(message, move |machine, _| {
                        accounts::edit(&machine.paths, |accounts| accounts.change_user(&name, &home, &shell))
                    }));
                }
            }
        }
        changes.extend(self.home_folder(machine, home)?);
        for group in self.groups.iter().flatten() {
            if accounts.is_member(&name, group) {
                continue;
            }
            if accounts.gid(group).is_none() && !machine.may_come() {
                return Err(Error::failed(format!("there is no group {group:?} on the node"))
                    .hint("make it with a `group` task before this one"));
            }
            let (name, group) = (name.clone(), group.clone());
            changes.push(Change::new(format!("add {name} to the group {group}"), move |machine, _| {
                accounts::edit(&machine.paths, |accounts| {
                    accounts.add_member(&name, &group);
                    Ok(())
                })
            }));
        }
        // A new account's password is locked.
        let is_locked = found.is_none() || accounts.is_locked(&name);
        if let Some(locked) = self.locked.filter(|&locked| locked != is_locked) {
            let message = format!("{} the password of {name}", if locked { "lock" } else { "unlock" });
            changes.push(Change::new(message, move |machine, _| {
                accounts::edit(&machine.paths, |accounts| {
                    accounts.set_locked(&name, locked);
                    Ok(())
                })
            }));
        }
        Ok(changes)
    }

    fn makes(&self) -> Vec<Made> {
        let removal = User { name: self.name.clone(), state: Presence::Absent, ..User::default() };
        let makes = self.state == Presence::Present;
        makes.then(|| Made::Task(Box::new(Action::User(removal)))).into_iter().collect()
    }
}

impl User {
    fn addition(&self, home: String, shell: String) -> Change {
        let (name, uid, system) = (self.name.clone(), self.uid, self.system);
        Change::new(format!("add the user {name}"), move |machine, _| {
            accounts::edit(&machine.paths, |accounts| accounts.add_user(&name, uid, system, &home, &shell))
        })
    }

    /// An ordinary user's home folder, 0700, with what `/etc/skel` holds left out: nodes are not for sitting at.
    fn home_folder(&self, machine: &Machine, home: String) -> Result<Option<Change>> {
        if self.system || !home.starts_with("/") || machine.paths.at(&home).exists() {
            return Ok(None);
        }
        let name = self.name.clone();
        Ok(Some(Change::new(format!("create {home}"), move |machine, _| {
            let place = machine.paths.at(&home);
            let user =
                machine.accounts()?.user(&name).ok_or_else(|| Error::failed(format!("the user {name} is gone")))?;
            if let Some(parent) = place.parent() {
                files::make_folder(parent, 0o755)?;
            }
            files::make_folder(&place, 0o700)?;
            std::os::unix::fs::chown(&place, Some(user.uid), Some(user.gid))?;
            files::sync_parent(&place)
        })))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::Bench;

    #[test]
    fn a_system_user_with_its_group() {
        let bench = Bench::new();
        let told = bench.apply(json!({"user": {"name": "agent", "system": true, "groups": ["sudo"]}})).unwrap();
        assert_eq!(told, ["add the user agent", "add agent to the group sudo"]);
        assert!(bench.read("/etc/passwd").contains("agent:x:999:999::/nonexistent:/usr/sbin/nologin\n"));
        assert!(bench.read("/etc/shadow").contains("agent:!:"));
        assert!(bench.read("/etc/group").contains("sudo:x:27:agent\n"));
        assert_eq!(bench.apply(json!({"user": {"name": "agent", "state": "absent"}})).unwrap().len(), 1);
        assert!(!bench.read("/etc/group").contains("agent"));
    }

    #[test]
    fn an_account_is_changed_in_place() {
        let bench = Bench::new();
        std::fs::create_dir_all(bench.at("/srv/me")).unwrap();
        let told = bench
            .apply(json!({"user": {"name": "me", "home": "/srv/me", "shell": "/bin/bash", "locked": false}}))
            .unwrap();
        assert_eq!(told, ["me: home /srv/me, shell /bin/bash", "unlock the password of me"]);
        assert!(bench.apply(json!({"user": {"name": "me", "uid": 4242}})).is_err());
        assert!(bench.apply(json!({"user": {"name": "me", "groups": ["none"]}})).is_err());
    }

    #[test]
    fn a_group_comes_and_goes() {
        let bench = Bench::new();
        assert_eq!(bench.apply(json!({"group": {"name": "app", "gid": 4000}})).unwrap(), ["add the group app"]);
        assert!(bench.check(json!({"group": {"name": "app", "gid": 4001}})).is_err());
        assert!(bench.apply(json!({"group": {"name": "me", "state": "absent"}})).is_err());
        bench.apply(json!({"group": {"name": "app", "state": "absent"}})).unwrap();
    }
}
