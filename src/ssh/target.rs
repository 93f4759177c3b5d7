//! Where to log in, and as whom.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A node's SSH server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its addresses, IPv4 and IPv6, in the order in which they are tried.
    pub addresses: Vec<IpAddr>,
    /// The TCP port.
    pub port: u16,
    /// The user to log in as.
    pub user: String,
}

impl Target {
    /// Addresses with the port.
    pub fn sockets(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.addresses.iter().map(|address| SocketAddr::new(*address, self.port))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sockets().next() {
            Some(socket) => write!(f, "{}@{socket}", self.user),
            None => write!(f, "{}@(no address):{}", self.user, self.port),
        }
    }
}
