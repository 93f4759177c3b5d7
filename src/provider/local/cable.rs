//! The cable between a node and its fleet's bridge: a pair of virtual interfaces.
//!
//! The node's network namespace and the cable are made before the node starts, so that the bridge's end is walled off
//! before anything is at the other one.

use camino::Utf8Path;
use rustix::mount::UnmountFlags;
use sha2::{Digest, Sha256};

use super::tools::{IP, NSENTER, UNSHARE};
use crate::Result;
use crate::error::Context;
use crate::id::Mark;

/// What the interface is called on the node, as systemd-nspawn would have it.
pub(super) const INTERFACE: &str = "host0";

/// A node's cable, named by the bridge's end.
#[derive(Debug)]
pub(super) struct Cable(String);

impl Cable {
    /// The cable of the node with this mark; it need not exist.
    pub(super) fn of(mark: &Mark) -> Self {
        Self(format!("stn{}", hex::encode(&Sha256::digest(mark.as_str().as_bytes())[..4])))
    }

    /// Makes a network namespace that is held by the file `namespace`, and a cable from there into the bridge, where it
    /// is an isolated port: it reaches the host and no other node.
    ///
    /// The file must lie where only this process's mount namespace sees the mount on it: both go with the last process.
    ///
    /// # Errors
    /// Fails where `ip` does; nothing is plugged in then.
    pub(super) fn plug(&self, bridge: &str, namespace: &Utf8Path) -> Result<()> {
        self.unplug()?;
        // Of the boot before.
        let _ = rustix::mount::unmount(namespace.as_str(), UnmountFlags::DETACH);
        fs_err::write(namespace, "")?;
        let inside = format!("--net={namespace}");
        UNSHARE.run([&inside, "true"]).context("making the node's network")?;
        let (ip, ours) = (IP.path()?.display().to_string(), std::process::id().to_string());
        let pair = ["link", "add", INTERFACE, "type", "veth", "peer", "name", &self.0, "netns", &ours];
        NSENTER.run([&[inside.as_str(), "--", &ip], &pair[..]].concat()).context("making the node's cable")?;
        let host = &self.0;
        let batch = format!(
            "link set {host} master {bridge}\n\
             link set {host} type bridge_slave isolated on\n\
             link set {host} up\n"
        );
        IP.run_with_stdin(["-batch", "-"], &batch).map(drop).or_else(|error| {
            // Half a wall is none.
            self.unplug()?;
            Err(error).context("connecting the node to its bridge")
        })
    }

    /// Takes the cable away; does nothing where there is none. A node's end that went with its node took this one along.
    ///
    /// # Errors
    /// Fails where `ip` does.
    pub(super) fn unplug(&self) -> Result<()> {
        if std::path::Path::new("/sys/class/net").join(&self.0).exists() {
            // The kernel may be quicker: then there is nothing left to delete.
            let deleted = IP.run(["link", "delete", &self.0]);
            if std::path::Path::new("/sys/class/net").join(&self.0).exists() {
                deleted?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{FleetId, NodeId};

    #[test]
    fn names_are_interface_names_and_differ_by_node() {
        let fleet = FleetId::mint();
        let [one, two] = [(), ()].map(|()| Cable::of(&Mark::new(&fleet, NodeId::new())));
        assert!(one.0.len() <= 15 && one.0 != two.0);
    }
}
