//! Where this user is logged in: one file, for this user alone.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Client;
use crate::clock::Timestamp;
use crate::error::Context;
use crate::id::{FleetId, SessionId};
use crate::redact::Secret;
use crate::{Error, Result, atomic_file};

const FILE: &str = "logins.json";

/// One control plane that this user is logged in to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The fleet that it serves.
    pub fleet: FleetId,
    /// The token. It lies here in the clear, as an SSH key without a passphrase does: who reads this user's files acts as them.
    pub token: String,
    /// Whom the server takes one for: an address, or none where the token is no person's.
    pub who: Option<String>,
    /// The session, where it is one.
    pub session: Option<SessionId>,
    /// A certificate authority beside the public ones.
    pub ca_file: Option<Utf8PathBuf>,
    /// When it ends at the latest.
    pub expires_at: Option<Timestamp>,
}

/// Where this user is logged in.
#[derive(Default, Serialize, Deserialize)]
pub struct Logins {
    /// The one that was logged in to last, by its address.
    current: Option<String>,
    logins: BTreeMap<String, Login>,
}

impl Logins {
    /// Reads them; none where there is no such file.
    ///
    /// # Errors
    /// Fails where the file cannot be read, or others than its owner can.
    pub fn read(dir: &Utf8Path) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let path = dir.join(FILE);
        let Some(bytes) = atomic_file::read(&path)?.map(Zeroizing::new) else { return Ok(Self::default()) };
        if fs_err::metadata(&path)?.permissions().mode() & 0o077 != 0 {
            return Err(Error::input(format!("{path} holds tokens, and others may read it")).hint(format!(
                "`chmod 600 {path}`; and if others have access here, `stead logout`, and log in again"
            )));
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            Error::input(format!("{path} cannot be read")).because(error).hint("remove it, and log in again")
        })
    }

    /// Whether this user is logged in nowhere.
    pub fn is_empty(&self) -> bool {
        self.logins.is_empty()
    }

    /// All of them, by address.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Login)> {
        self.logins.iter().map(|(address, login)| (address.as_str(), login))
    }

    /// The login that the command is for: the one to whoever serves `fleet`; without a fleet, the last one.
    pub fn of(&self, fleet: Option<&FleetId>) -> Option<(&str, &Login)> {
        let current = self.current.as_ref().and_then(|address| self.logins.get_key_value(address));
        let mut all = current.into_iter().chain(&self.logins);
        let found = match fleet {
            Some(fleet) => all.find(|(_, login)| login.fleet == *fleet),
            None => current,
        };
        found.map(|(address, login)| (address.as_str(), login))
    }

    /// Remembers a login, as the last one; the one that it takes the place of.
    ///
    /// # Errors
    /// Fails where the file cannot be written.
    pub fn add(dir: &Utf8Path, address: &str, login: Login) -> Result<Option<Login>> {
        Self::change(dir, |logins| {
            logins.current = Some(address.to_owned());
            logins.logins.insert(address.to_owned(), login)
        })
    }

    /// Forgets a login.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn remove(dir: &Utf8Path, address: &str) -> Result<()> {
        Self::change(dir, |logins| {
            logins.logins.remove(address);
            if logins.current.as_deref() == Some(address) {
                logins.current = None;
            }
        })
    }

    fn change<T>(dir: &Utf8Path, change: impl FnOnce(&mut Self) -> T) -> Result<T> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(|| format!("making {dir}"))?;
        // Two commands at once: the second sees what the first has written. The folder is held, since the file is replaced.
        let held = fs_err::File::open(dir)?;
        rustix::fs::flock(held.file(), rustix::fs::FlockOperation::LockExclusive).map_err(std::io::Error::from)?;
        let mut logins = Self::read(dir)?;
        let changed = change(&mut logins);
        let text = serde_json::to_vec_pretty(&logins).map_err(|error| Error::failed("the logins").because(error))?;
        atomic_file::write(&dir.join(FILE), &Zeroizing::new(text), 0o600)?;
        Ok(changed)
    }
}

impl Login {
    /// The server, asked as whoever is logged in.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn client(&self, address: &str) -> Result<Client> {
        Client::new(address, Some(&Secret::new(self.token.clone().into_bytes())), self.ca_file.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn login(fleet: &FleetId, who: &str) -> Login {
        let who = Some(who.to_owned());
        Login { fleet: fleet.clone(), token: "t".into(), who, session: None, ca_file: None, expires_at: None }
    }

    #[test]
    fn a_fleet_is_asked_for_at_its_own_server_and_without_one_the_last_is_meant() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(temp.path()).unwrap().join("new/stead");
        let (ours, other) = (FleetId::mint(), FleetId::mint());
        Logins::add(&dir, "https://a", login(&ours, "ann")).unwrap();
        Logins::add(&dir, "https://b", login(&other, "ben")).unwrap();
        let mode = std::fs::metadata(dir.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let logins = Logins::read(&dir).unwrap();
        let at = |fleet: Option<&FleetId>| logins.of(fleet).map(|(address, _)| address.to_owned());
        assert_eq!(at(None).as_deref(), Some("https://b"));
        assert_eq!(at(Some(&ours)).as_deref(), Some("https://a"));
        assert_eq!(at(Some(&FleetId::mint())), None);
        Logins::remove(&dir, "https://b").unwrap();
        assert!(Logins::read(&dir).unwrap().of(None).is_none());
        std::fs::set_permissions(dir.join(FILE), std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Logins::read(&dir).err().unwrap().hints()[0].contains("chmod 600"));
    }
}
