//! NoCloud: what cloud-init finds on a node at its first boot.
//!
//! See cloud-init's documentation of the datasource NoCloud; `/var/lib/cloud/seed/nocloud` needs no disk and no server.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;

use camino::Utf8Path;

use super::cable::INTERFACE;
use super::machine::Container;
use super::network;
use crate::Result;
use crate::provider::MachineSpec;
use crate::render::cloud_init;
use crate::render::network::{Interface, Network};

/// Writes the seed into what will be the node's own layer.
///
/// # Errors
/// Fails as the file system does, and where the host has no name server to offer.
pub(super) fn write(
    upper: &Utf8Path,
    spec: &MachineSpec,
    container: &Container,
    network: &network::Network,
) -> Result<()> {
    // IPv6 reaches the host and no further, so only IPv4 has a way out.
    let gateways = network.gateway().iter().map(ipnet::IpNet::addr).filter(IpAddr::is_ipv4).collect();
    let config = Network {
        interface: Interface::Name(INTERFACE.to_owned()),
        addresses: container.addresses.clone(),
        gateways,
        nameservers: network::nameservers()?,
    };
    let dir = upper.join("var/lib/cloud/seed/nocloud");
    fs_err::create_dir_all(&dir)?;
    // The seed holds the bootstrap host key.
    fs_err::set_permissions(&dir, std::fs::Permissions::from_mode(0o700))?;
    fs_err::write(dir.join("user-data"), spec.user_data.as_bytes())?;
    fs_err::write(dir.join("meta-data"), cloud_init::meta_data(spec.mark.as_str(), &spec.hostname))?;
    fs_err::write(dir.join("network-config"), config.render())?;
    Ok(())
}
