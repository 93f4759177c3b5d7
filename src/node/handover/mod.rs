//! Handing data and secrets over to the node that takes this one's place.
//!
//! The data is what lies in `/srv/data` and `/var/lib/private`: the data volume, where there is one, and the folders in its place where
//! there is none. Names, kinds, owners (by number), modes, times, extended attributes and hard links survive; blocks of zeros become
//! holes. Sockets are left out, since whoever listens on one makes it anew.

mod receive;
mod record;
mod send;
mod tree;
mod unpack;
mod workload;

pub(crate) use receive::receive;
pub(crate) use send::send;
pub(crate) use workload::{start, stop};

use camino::Utf8PathBuf;

use super::node_record::NodeRecord;
use super::{Paths, mounts};
use crate::wire::handover::Ticket;
use crate::{Error, Result, keypair};

/// Where the data lies. Both nodes know these by their places in the list.
const ROOTS: [&str; 2] = ["/var/lib/private", "/srv/data"];
/// Where what comes lies, within its root, until all of it was checked.
const ASIDE: &str = ".stead-incoming";

/// A folder with data in it.
struct Root {
    path: Utf8PathBuf,
    /// Names at its top that are none of the data.
    without: Vec<&'static str>,
}

/// The folders with data in them, on this machine.
fn roots(paths: &Paths) -> Result<Vec<Root>> {
    // The volume's own folder of that name is seen as the other root.
    let is_volume = !mounts::mounted(paths, ROOTS[0])?.is_empty();
    let mut roots: Vec<Root> =
        ROOTS.iter().map(|path| Root { path: paths.at(path), without: vec![ASIDE, "lost+found"] }).collect();
    if is_volume {
        roots[1].without.push("private");
    }
    Ok(roots)
}

/// Checks that the fleet wants this handover, and that this node is the one that `side` says.
fn check(paths: &Paths, ticket: &Ticket, side: &str) -> Result<()> {
    let node = NodeRecord::read(paths)?;
    ticket.verify(&keypair::parse_public(&node.signer)?)?;
    if (ticket.fleet.as_str(), side) == (node.fleet.as_str(), node.node.as_str()) {
        return Ok(());
    }
    Err(Error::failed(format!(
        "the handover is from {} to {} of {}, and this is {} of {}",
        ticket.from, ticket.to, ticket.fleet, node.node, node.fleet
    )))
}

#[cfg(test)]
mod tests;
