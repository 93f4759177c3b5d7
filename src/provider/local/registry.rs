//! What fleets have taken from this host: one subnet and one bridge each, and IPv4 forwarding.
//!
//! The registry is one JSON file in `/run/stead` under a lock, since several fleets and several processes share the host.
//! It lies in `/run` because what it lists does not survive a reboot either.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use camino::{Utf8Path, Utf8PathBuf};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::error::Context;
use crate::id::FleetId;
use crate::{Error, Result};

/// What one fleet has taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The fleet's folder; a registry entry whose folder is gone is a left-over.
    pub dir: Utf8PathBuf,
    /// The nodes' IPv4 network, a /24 whose first address is the host's.
    pub subnet: Ipv4Net,
    /// The bridge's name.
    pub bridge: String,
}

/// The host's registry.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Registry {
    /// Every fleet that holds something, by its id.
    pub fleets: BTreeMap<FleetId, Taken>,
    /// Whether forwarding was off before the first fleet came, so that the last one turns it off again.
    pub forwarding_was_off: bool,
}

/// The registry, held: nobody else changes it until this is dropped.
pub struct Held {
    path: Utf8PathBuf,
    _lock: fs_err::File,
    /// The content; [`Held::save`] writes it.
    pub registry: Registry,
}

impl Held {
    /// Takes the lock and reads the registry.
    ///
    /// # Errors
    /// Fails where the folder cannot be made (not root) or the file is broken.
    pub fn open(run_dir: &Utf8Path) -> Result<Self> {
        fs_err::create_dir_all(run_dir)?;
        let lock = fs_err::File::create(run_dir.join("registry.lock"))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)
            .map_err(std::io::Error::from)
            .context("locking the host's registry")?;
        let path = run_dir.join("registry.json");
        let registry = read(&path)?;
        Ok(Self { path, _lock: lock, registry })
    }

    /// Writes the registry, whole or not at all.
    ///
    /// # Errors
    /// Fails as the file system does.
    pub fn save(&self) -> Result<()> {
        let aside = self.path.with_extension("json.new");
        let json = serde_json::to_vec_pretty(&self.registry)
            .map_err(|error| Error::failed("encoding the registry").because(error))?;
        fs_err::write(&aside, json)?;
        fs_err::rename(&aside, &self.path)?;
        Ok(())
    }

    /// The fleet's share; taken now if it has none. `wanted` is the subnet that the fleet's nodes are configured for
    /// already; `in_use` are the networks that the host has routes to.
    ///
    /// # Errors
    /// Fails where the wanted subnet belongs to another fleet by now, or where no subnet is free.
    pub fn take(
        &mut self,
        fleet: &FleetId,
        dir: &Utf8Path,
        wanted: Option<Ipv4Net>,
        in_use: &[Ipv4Net],
    ) -> Result<Taken> {
        if let Some(taken) = self.registry.fleets.get(fleet) {
            if taken.dir != dir && taken.dir.is_dir() {
                return Err(Error::failed(format!(
                    "fleet {fleet} has local nodes from another folder already: {}",
                    taken.dir
                ))
                .hint("run the command there, or give this copy an id of its own with `stead init`"));
            }
            // The fleet's folder was moved, and its nodes with it.
            let taken = Taken { dir: dir.to_owned(), ..taken.clone() };
            self.registry.fleets.insert(fleet.clone(), taken.clone());
            return Ok(taken);
        }
        let others: Vec<Ipv4Net> = self.registry.fleets.values().map(|taken| taken.subnet).collect();
        let free = |net: &Ipv4Net| !others.iter().chain(in_use).any(|other| overlaps(other, net));
        let subnet = match wanted {
            Some(net) if free(&net) => net,
            Some(net) => {
                return Err(Error::failed(format!("the network {net} of this fleet's nodes is in use by something else now"))
                    .hint("`ip route` shows by what; free it, or take the nodes down and up again with `stead down` and `stead up`"));
            }
            None => candidates(fleet).find(free).ok_or_else(|| {
                Error::failed("no free network for local nodes in 10.96.0.0/11")
                    .hint("`stead doctor` lists what fleets hold")
            })?,
        };
        let taken = Taken { dir: dir.to_owned(), subnet, bridge: format!("stb{}", fleet.short()) };
        self.registry.fleets.insert(fleet.clone(), taken.clone());
        Ok(taken)
    }
}

/// Reads the registry without holding it.
///
/// # Errors
/// Fails where the file is broken.
pub fn read(path: &Utf8Path) -> Result<Registry> {
    match fs_err::read(path) {
        Ok(json) => serde_json::from_slice(&json).map_err(|error| {
            Error::failed(format!("{path} is broken"))
                .because(error)
                .hint("remove it when no local node runs; `stead up` makes it anew")
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Registry::default()),
        Err(error) => Err(error.into()),
    }
}

/// All subnets that a fleet might take, beginning with one that its id picks, so that a fleet usually keeps its addresses.
fn candidates(fleet: &FleetId) -> impl Iterator<Item = Ipv4Net> {
    const COUNT: u32 = 32 * 256;
    let start = u32::from_str_radix(&fleet.short(), 16).unwrap_or_default();
    (0..COUNT).filter_map(move |i| {
        let n = start.wrapping_add(i) % COUNT;
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 96, 0, 0)) + (n << 8));
        Ipv4Net::new(address, 24).ok()
    })
}

fn overlaps(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Utf8Path) -> Held {
        Held::open(dir).unwrap()
    }

    #[test]
    fn two_fleets_never_share_and_a_fleet_keeps_its_share() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(temp.path()).unwrap();
        let (one, two) = (FleetId::mint(), FleetId::mint());
        let mut held = open(dir);
        let first = held.take(&one, dir, None, &[]).unwrap();
        held.save().unwrap();
        drop(held);
        let mut held = open(dir);
        assert_eq!(held.take(&one, dir, None, &[]).unwrap(), first);
        let second = held.take(&two, dir, None, &[]).unwrap();
        assert!(!overlaps(&first.subnet, &second.subnet) && first.bridge != second.bridge);
        assert!(first.bridge.len() <= 15, "longer names are no interface names");
        assert!(held.take(&FleetId::mint(), dir, Some(first.subnet), &[]).is_err());
    }

    #[test]
    fn a_network_of_the_hosts_is_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(temp.path()).unwrap();
        let fleet = FleetId::mint();
        let routes: Vec<Ipv4Net> = candidates(&fleet).take(3).collect();
        let taken = open(dir).take(&fleet, dir, None, &routes).unwrap();
        assert!(routes.iter().all(|route| !overlaps(route, &taken.subnet)));
    }

    #[test]
    fn the_same_fleet_in_two_folders_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(temp.path()).unwrap();
        let fleet = FleetId::mint();
        let mut held = open(dir);
        held.take(&fleet, dir, None, &[]).unwrap();
        assert!(held.take(&fleet, Utf8Path::new("/elsewhere"), None, &[]).is_err());
    }

    #[test]
    fn a_fleet_that_moved_takes_its_share_along() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(temp.path()).unwrap();
        let fleet = FleetId::mint();
        let mut held = open(dir);
        let before = held.take(&fleet, &dir.join("gone"), None, &[]).unwrap();
        let after = held.take(&fleet, dir, None, &[]).unwrap();
        assert_eq!((after.subnet, after.dir.as_path()), (before.subnet, dir));
    }
}
