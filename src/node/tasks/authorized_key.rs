//! `authorized_key`.

use crate::node::files::{self, Attributes};
use crate::node::machine::{Change, Converge, Inputs, Machine, Touch};
use crate::node::made::Made;
use crate::wire::action::{Action, AuthorizedKey, Presence};
use crate::{Error, Result};

impl Converge for AuthorizedKey {
    fn changes(&self, machine: &Machine, _: &Inputs) -> Result<Vec<Change>> {
        let body = body(&self.key).ok_or_else(|| {
            Error::input("`key` is not an SSH public key in OpenSSH's format").hint("`ssh-ed25519 AAAA…`")
        })?;
        if [Some(&self.key), self.options.as_ref()].into_iter().flatten().any(|text| text.trim().contains('\n')) {
            return Err(Error::input("a key and its options stand on one line"));
        }
        let Some(user) = machine.accounts()?.user(&self.user) else {
            if self.state == Presence::Absent {
                return Ok(Vec::new());
            }
            if machine.may_come() {
                return Ok(vec![Change::new(format!("let a key log in as {}", self.user), |_, _| Ok(()))]);
            }
            return Err(Error::failed(format!("there is no user {:?} on the node", self.user)));
        };
        let path = format!("{}/.ssh/authorized_keys", user.home);
        let place = machine.paths.at(&path);
        let old = match fs_err::read_to_string(&place) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error.into()),
        };
        let wanted = match &self.options {
            Some(options) => format!("{} {}", options.trim(), self.key.trim()),
            None => self.key.trim().to_owned(),
        };
        let mut lines: Vec<&str> = old
            .lines()
            .filter(|line| !self.exclusive && self::body(line).is_none_or(|other| other != body) || *line == wanted)
            .collect();
        if self.state == Presence::Absent {
            lines.retain(|line| *line != wanted);
        } else if !lines.contains(&wanted.as_str()) {
            lines.push(&wanted);
        }
        let new: String = lines.iter().flat_map(|line| [*line, "\n"]).collect();
        if new == old || (self.state == Presence::Absent && old.is_empty()) {
            return Ok(Vec::new());
        }
        let verb = if self.state == Presence::Absent { "no longer let a key" } else { "let a key" };
        let diff = files::diff(&path, Some(old.as_bytes()), Some(new.as_bytes()));
        let change = Change::new(format!("{verb} log in as {}", self.user), move |_, _| {
            if let Some(folder) = place.parent()
                && !folder.exists()
            {
                files::make_folder(folder, 0o700)?;
                std::os::unix::fs::chown(folder, Some(user.uid), Some(user.gid))?;
            }
            files::write(&place, new.as_bytes(), Attributes { uid: user.uid, gid: user.gid, mode: 0o600 })
        });
        Ok(vec![change.diff(diff).touching(Touch::Path(path))])
    }

    fn makes(&self) -> Vec<Made> {
        let removal = AuthorizedKey {
            user: self.user.clone(),
            key: self.key.clone(),
            options: self.options.clone(),
            state: Presence::Absent,
            ..AuthorizedKey::default()
        };
        let makes = self.state == Presence::Present;
        makes.then(|| Made::Task(Box::new(Action::AuthorizedKey(removal)))).into_iter().collect()
    }
}

/// Type and base 64 of the key on a line of an authorized_keys file, whatever options stand before it.
fn body(line: &str) -> Option<(&str, &str)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words
        .iter()
        .position(|word| ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].iter().any(|start| word.starts_with(start)))?;
    let base64 = words.get(at + 1).filter(|word| word.starts_with("AAAA"))?;
    Some((words[at], base64))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::Bench;

    #[test]
    fn keys_come_change_and_go() {
        let bench = Bench::new();
        std::fs::create_dir_all(bench.at("/home/me")).unwrap();
        let key = |key: &str| json!({"authorized_key": {"user": "me", "key": key}});
        bench.apply(key("ssh-ed25519 AAAAa ann")).unwrap();
        bench.apply(key("ssh-ed25519 AAAAb bob")).unwrap();
        assert_eq!(bench.read("/home/me/.ssh/authorized_keys"), "ssh-ed25519 AAAAa ann\nssh-ed25519 AAAAb bob\n");
        bench
            .apply(json!({"authorized_key": {"user": "me", "key": "ssh-ed25519 AAAAb bob", "options": "restrict", "exclusive": true}}))
            .unwrap();
        assert_eq!(bench.read("/home/me/.ssh/authorized_keys"), "restrict ssh-ed25519 AAAAb bob\n");
        bench.apply(json!({"authorized_key": {"user": "me", "key": "ssh-ed25519 AAAAb", "state": "absent"}})).unwrap();
        assert_eq!(bench.read("/home/me/.ssh/authorized_keys"), "");
        assert!(bench.apply(key("hello")).is_err());
        assert!(bench.apply(key("ssh-ed25519 AAAAa x\nssh-ed25519 AAAAc y")).is_err());
    }
}
