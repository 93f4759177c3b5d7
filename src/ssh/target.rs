//! Where to log in, as whom, and through which other machines.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::{HostKeys, Login};

/// A node's SSH server.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// Its addresses, IPv4 and IPv6, in the order in which they are tried.
    pub addresses: Vec<IpAddr>,
    /// The TCP port.
    pub port: u16,
    /// The user to log in as.
    pub user: String,
    /// The machines that the connection goes through, the first one to be reached in front.
    pub via: Vec<Hop>,
    /// What the last of them calls the node, where it is reached through one; the first address where not given.
    pub name: Option<String>,
}

/// A machine that connections go through (a jump host, `ssh -J`). It sees ciphertext only: the node proves its own host key,
/// and the login on it is the node's.
#[derive(Debug, Clone)]
pub struct Hop {
    /// A host name or an address, as the machine before it knows it.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The user to log in as.
    pub user: String,
    /// The host keys that it may prove.
    pub host_keys: HostKeys,
    /// How to log in there.
    pub login: Login,
}

impl Target {
    /// A server that is reached directly.
    pub fn new(addresses: Vec<IpAddr>, port: u16, user: impl Into<String>) -> Self {
        Self { addresses, port, user: user.into(), ..Self::default() }
    }

    /// Addresses with the port.
    pub fn sockets(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.addresses.iter().map(|address| SocketAddr::new(*address, self.port))
    }

    /// What the last hop is asked for.
    pub(super) fn seen_from_hop(&self) -> Option<String> {
        self.name.clone().or_else(|| self.addresses.first().map(IpAddr::to_string))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.sockets().next(), &self.name) {
            (Some(socket), _) => write!(f, "{}@{socket}", self.user),
            (None, Some(name)) => write!(f, "{}@{name}:{}", self.user, self.port),
            (None, None) => write!(f, "{}@(no address):{}", self.user, self.port),
        }
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.user, self.host, self.port)
    }
}
