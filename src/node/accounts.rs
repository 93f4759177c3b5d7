//! The node's accounts: `/etc/passwd`, `group`, `shadow` and `gshadow`, read and written by ourselves.
//!
//! A static program has no NSS, and an image's root has no running services; the files are all there is to know about
//! local accounts (passwd(5), shadow(5), group(5)).

use std::fs::File;
use std::time::{Duration, Instant};

use camino::Utf8Path;

use crate::error::Context;
use crate::node::{Paths, files};
use crate::{Error, Result};

/// A line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The login name.
    pub name: String,
    /// The number.
    pub uid: u32,
    /// The number of the account's own group.
    pub gid: u32,
    /// The home folder.
    pub home: String,
    /// The login shell.
    pub shell: String,
}

/// The accounts' files, line by line; lines that nobody asked to change stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    passwd: Vec<String>,
    group: Vec<String>,
    shadow: Vec<String>,
    gshadow: Vec<String>,
}

/// Reads one `:`-separated field of a line.
fn field(line: &str, index: usize) -> &str {
    line.split(':').nth(index).unwrap_or("")
}

/// Replaces one field of a line; a line with too few fields stays as it is.
fn set_field(line: &mut String, index: usize, value: &str) {
    let mut fields: Vec<&str> = line.split(':').collect();
    if let Some(field) = fields.get_mut(index) {
        *field = value;
        *line = fields.join(":");
    }
}

fn position(lines: &[String], name: &str) -> Option<usize> {
    lines.iter().position(|line| field(line, 0) == name)
}

impl Accounts {
    /// Reads the four files; those that are missing are empty.
    ///
    /// # Errors
    /// Fails where one cannot be read.
    pub fn read(paths: &Paths) -> Result<Self> {
        let lines = |path: &Utf8Path| match fs_err::read(path) {
            Ok(bytes) => Ok(Self::lines(&String::from_utf8_lossy(&bytes))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error).context("reading the accounts"),
        };
        Ok(Self {
            passwd: lines(&paths.passwd())?,
            group: lines(&paths.group())?,
            shadow: lines(&paths.shadow())?,
            gshadow: lines(&paths.gshadow())?,
        })
    }

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    /// Writes what differs from `before`, each file at once.
    ///
    /// # Errors
    /// Fails where a file cannot be written.
    pub fn write(&self, paths: &Paths, before: &Accounts) -> Result<()> {
        let files = [
            (paths.group(), &self.group, &before.group, 0o644),
            (paths.gshadow(), &self.gshadow, &before.gshadow, 0o640),
            (paths.passwd(), &self.passwd, &before.passwd, 0o644),
            (paths.shadow(), &self.shadow, &before.shadow, 0o640),
        ];
        for (path, after, before, mode) in files {
            if after != before {
                let text: String = after.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
                files::replace(&path, text.as_bytes(), mode)?;
            }
        }
        Ok(())
    }

    /// An account by its name.
    pub fn user(&self, name: &str) -> Option<Account> {
        let line = &self.passwd[position(&self.passwd, name)?];
        Some(Account {
            name: name.to_owned(),
            uid: field(line, 2).parse().ok()?,
            gid: field(line, 3).parse().ok()?,
            home: field(line, 5).to_owned(),
            shell: field(line, 6).to_owned(),
        })
    }

    /// The number of a group.
    pub fn gid(&self, name: &str) -> Option<u32> {
        field(&self.group[position(&self.group, name)?], 2).parse().ok()
    }

    /// Whether a user is listed as a member of a group.
    pub fn is_member(&self, user: &str, group: &str) -> bool {
        position(&self.group, group).is_some_and(|at| field(&self.group[at], 3).split(',').any(|member| member == user))
    }

    /// Whether an account is locked: its password begins with `!`. One with `*` has no password to log in with, but is
    /// not locked (shadow(5)).
    pub fn is_locked(&self, name: &str) -> bool {
        position(&self.shadow, name).is_some_and(|at| field(&self.shadow[at], 1).starts_with('!'))
    }

    /// Adds a group with the next free number, or the given one.
    ///
    /// # Errors
    /// Fails where the number is taken or none is free.
    pub fn add_group(&mut self, name: &str, gid: Option<u32>, system: bool) -> Result<u32> {
        check_name(name)?;
        let gid = Self::number(&self.group, gid, system, name)?;
        self.group.push(format!("{name}:x:{gid}:"));
        self.gshadow.push(format!("{name}:!::"));
        Ok(gid)
    }

    /// Adds an account with a locked password, and a group of its name where there is none.
    ///
    /// # Errors
    /// Fails where the number is taken or none is free, or a field is not legal.
    pub fn add_user(&mut self, name: &str, uid: Option<u32>, system: bool, home: &str, shell: &str) -> Result<()> {
        check_name(name)?;
        check_field(home)?;
        check_field(shell)?;
        let uid = Self::number(&self.passwd, uid, system, name)?;
        let gid = match self.gid(name) {
            Some(gid) => gid,
            // The group takes the user's number where it is free, as useradd does.
            None => {
                let free = !self.group.iter().any(|line| field(line, 2) == uid.to_string());
                self.add_group(name, free.then_some(uid), system)?
            }
        };
        self.passwd.push(format!("{name}:x:{uid}:{gid}::{home}:{shell}"));
        let today =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |t| t.as_secs()) / 86400;
        let ageing = if system { "::::::" } else { ":0:99999:7:::" };
        self.shadow.push(format!("{name}:!:{today}{ageing}"));
        Ok(())
    }

    fn number(lines: &[String], wanted: Option<u32>, system: bool, name: &str) -> Result<u32> {
        let taken = |id: u32| lines.iter().any(|line| field(line, 2) == id.to_string());
        match wanted {
            Some(id) if taken(id) => {
                Err(Error::failed(format!("the number {id} for {name} is taken already")).hint("choose another one"))
            }
            Some(id) => Ok(id),
            // The ranges of Debian Policy 9.2.2; system numbers are given from the top, as adduser(8) does.
            None if system => {
                (100..1000).rev().find(|&id| !taken(id)).ok_or_else(|| Error::failed("no number is free"))
            }
            None => (1000..60000).find(|&id| !taken(id)).ok_or_else(|| Error::failed("no number is free")),
        }
    }

    /// Changes an account's home folder and shell.
    ///
    /// # Errors
    /// Fails where a field is not legal.
    pub fn change_user(&mut self, name: &str, home: &str, shell: &str) -> Result<()> {
        check_field(home)?;
        check_field(shell)?;
        if let Some(at) = position(&self.passwd, name) {
            set_field(&mut self.passwd[at], 5, home);
            set_field(&mut self.passwd[at], 6, shell);
        }
        Ok(())
    }

    /// Makes a user a member of a group.
    pub fn add_member(&mut self, user: &str, group: &str) {
        for lines in [&mut self.group, &mut self.gshadow] {
            if let Some(at) = position(lines, group) {
                let members = field(&lines[at], 3);
                if !members.split(',').any(|member| member == user) {
                    let members = if members.is_empty() { user.to_owned() } else { format!("{members},{user}") };
                    set_field(&mut lines[at], 3, &members);
                }
            }
        }
    }

    /// Locks an account's password, or unlocks one that was locked with `!` (an account without a password stays
    /// without a way in by password).
    pub fn set_locked(&mut self, name: &str, locked: bool) {
        if let Some(at) = position(&self.shadow, name) {
            let password = field(&self.shadow[at], 1).to_owned();
            let changed = match (locked, password.strip_prefix('!')) {
                (true, None) => format!("!{password}"),
                (false, Some("")) => "*".to_owned(),
                (false, Some(rest)) => rest.to_owned(),
                _ => return,
            };
            set_field(&mut self.shadow[at], 1, &changed);
        }
    }

    /// Removes an account, and its memberships, and its own group where nobody else is in it.
    pub fn remove_user(&mut self, name: &str) {
        let gid = self.user(name).map(|user| user.gid);
        self.passwd.retain(|line| field(line, 0) != name);
        self.shadow.retain(|line| field(line, 0) != name);
        for line in self.group.iter_mut().chain(&mut self.gshadow) {
            let members: Vec<&str> = field(line, 3).split(',').filter(|member| *member != name).collect();
            let members = members.join(",");
            if members != field(line, 3) {
                set_field(line, 3, &members);
            }
        }
        let own = position(&self.group, name).filter(|&at| {
            let line = &self.group[at];
            field(line, 3).is_empty() && field(line, 2).parse().ok() == gid && gid.is_some()
        });
        if own.is_some() && !self.passwd.iter().any(|line| field(line, 3).parse().ok() == gid) {
            self.remove_group(name);
        }
    }

    /// Removes a group.
    pub fn remove_group(&mut self, name: &str) {
        self.group.retain(|line| field(line, 0) != name);
        self.gshadow.retain(|line| field(line, 0) != name);
    }

    /// Whether some account has this group as its own.
    pub fn is_primary(&self, gid: u32) -> bool {
        self.passwd.iter().any(|line| field(line, 3) == gid.to_string())
    }
}

/// Checks a user's or group's name (the rule of Debian's adduser).
///
/// # Errors
/// Fails where the name is not legal.
pub fn check_name(name: &str) -> Result<()> {
    let legal = (1..=32).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-');
    if legal {
        Ok(())
    } else {
        Err(Error::input(format!("{name:?} is not a legal name for a user or a group"))
            .hint("take lower-case letters, digits, - and _, at most 32, beginning with a letter"))
    }
}

fn check_field(value: &str) -> Result<()> {
    if value.starts_with('/') && !value.contains([':', '\n']) {
        Ok(())
    } else {
        Err(Error::input(format!("{value:?} is not an absolute path that fits into /etc/passwd")))
    }
}

/// Changes the accounts under the lock that useradd and passwd take as well (lckpwdf(3)).
///
/// # Errors
/// Fails where the lock is not free within 15 seconds, or a file cannot be read or written.
pub fn edit(paths: &Paths, change: impl FnOnce(&mut Accounts) -> Result<()>) -> Result<()> {
    let path = paths.at("/etc/.pwd.lock");
    let lock = fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
    let lock: File = lock.into_parts().0;
    let deadline = Instant::now() + Duration::from_secs(15);
    while let Err(error) = rustix::fs::fcntl_lock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        if Instant::now() > deadline {
            return Err(Error::failed("another program is changing the accounts").because(error));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let before = Accounts::read(paths)?;
    let mut after = before.clone();
    change(&mut after)?;
    after.write(paths, &before)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Accounts {
        Accounts {
            passwd: Accounts::lines("root:x:0:0:root:/root:/bin/bash\n+nis\nann:x:1000:1000::/home/ann:/bin/bash\n"),
            group: Accounts::lines("root:x:0:\nsudo:x:27:bob\nann:x:1000:\n"),
            shadow: Accounts::lines("root:*:1:0:99999:7:::\nann:$y$j:1:0:99999:7:::\n"),
            gshadow: Accounts::lines("root:*::\nsudo:*::bob\nann:!::\n"),
        }
    }

    #[test]
    fn an_account_comes_and_goes_without_a_trace() {
        let before = sample();
        let mut accounts = before.clone();
        accounts.add_user("agent", None, true, "/srv/agent", "/usr/sbin/nologin").unwrap();
        accounts.add_member("agent", "sudo");
        let agent = accounts.user("agent").unwrap();
        assert_eq!((agent.uid, agent.gid), (999, 999));
        assert!(accounts.is_locked("agent") && accounts.is_member("agent", "sudo"));
        accounts.remove_user("agent");
        assert_eq!(accounts, before);
    }

    #[test]
    fn numbers_are_never_given_twice() {
        let mut accounts = sample();
        assert!(accounts.add_user("x", Some(1000), false, "/x", "/bin/sh").is_err());
        accounts.add_user("x", None, false, "/x", "/bin/sh").unwrap();
        assert_eq!(accounts.user("x").unwrap().uid, 1001);
    }

    #[test]
    fn a_field_cannot_smuggle_in_another() {
        let mut accounts = sample();
        assert!(accounts.add_user("x", None, false, "/x:/bin/sh", "/bin/sh").is_err());
        assert!(accounts.add_user("x\nroot", None, false, "/x", "/bin/sh").is_err());
        assert!(accounts.change_user("ann", "/h", "/bin/sh\nroot::0:0::/:/bin/sh").is_err());
    }

    #[test]
    fn locking_keeps_the_password() {
        let mut accounts = sample();
        accounts.set_locked("ann", true);
        assert!(accounts.is_locked("ann"));
        accounts.set_locked("ann", false);
        assert_eq!(accounts, sample());
        accounts.set_locked("root", false);
        assert_eq!(accounts, sample());
    }

    proptest! {
        #[test]
        fn any_file_is_read_and_kept(text in "([a-z]{0,3}|:|\n|[0-9]{0,12}|\u{e9}|,){0,60}") {
            let mut accounts = Accounts { passwd: Accounts::lines(&text), group: Accounts::lines(&text), ..Accounts::default() };
            for name in text.split([':', '\n']) {
                accounts.user(name);
                accounts.gid(name);
                accounts.is_member(name, name);
            }
            let before = accounts.clone();
            if accounts.add_user("zzzz", None, false, "/h", "/bin/sh").is_ok() {
                accounts.remove_user("zzzz");
                prop_assert_eq!(accounts, before);
            }
        }
    }
}
