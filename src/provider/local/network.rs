//! The bridge, its addresses, masquerade to the outside, and the walls between nodes.
//!
//! Nodes reach the outside and nothing else: not each other (they are different customers'), neither over the bridge nor
//! around by the host, not the host's own services, and not the link-local addresses where clouds hand out a machine's
//! credentials. The host reaches them. IPv6 is there between host and node; it is not routed onward, since turning on IPv6
//! forwarding makes the host deaf to router advertisements and could cut its own connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use camino::Utf8Path;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sha2::{Digest, Sha256};

use super::registry::{Held, Taken};
use super::tools::{IP, NFT};
use crate::error::Context;
use crate::id::FleetId;
use crate::{Error, Result};

const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// A fleet's network on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The bridge's name.
    pub bridge: String,
    /// IPv4, a /24.
    pub v4: Ipv4Net,
    /// IPv6, a unique local /64 (RFC 4193) whose global id is made from the fleet's.
    pub v6: Ipv6Net,
}

impl Network {
    fn new(fleet: &FleetId, taken: &Taken) -> Self {
        let hash = Sha256::digest(fleet.as_str().as_bytes());
        let word = |i: usize| u16::from_be_bytes([hash[i], hash[i + 1]]);
        let prefix = Ipv6Addr::new(0xfd00 | u16::from(hash[8]), word(9), word(11), 0, 0, 0, 0, 0);
        let v6 = Ipv6Net::new_assert(prefix, 64);
        Self { bridge: taken.bridge.clone(), v4: taken.subnet, v6 }
    }

    /// The bridge's own hardware address, locally administered. Without one, a bridge takes its lowest port's and changes
    /// it when that node goes; the others would then speak to a neighbour that is not there, until they ask anew.
    fn mac(&self) -> String {
        let hash = Sha256::digest(self.bridge.as_bytes());
        format!("02:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", hash[0], hash[1], hash[2], hash[3], hash[4])
    }

    /// The host's own addresses on the bridge.
    pub fn gateway(&self) -> [IpNet; 2] {
        self.addresses(1)
    }

    /// The addresses of the node with this number.
    pub fn addresses(&self, number: u8) -> [IpNet; 2] {
        let v4 = Ipv4Addr::from(u32::from(self.v4.network()) + u32::from(number));
        let v6 = Ipv6Addr::from(u128::from(self.v6.network()) + u128::from(number));
        [Ipv4Net::new_assert(v4, 24).into(), Ipv6Net::new_assert(v6, 64).into()]
    }
}

/// Makes sure that the fleet's network stands, and gives it. Costs one look when it does.
///
/// # Errors
/// Fails without root, without `ip` and `nft`, or where no subnet is free.
pub fn ensure(run_dir: &Utf8Path, fleet: &FleetId, dir: &Utf8Path, wanted: Option<Ipv4Net>) -> Result<Network> {
    let mut held = Held::open(run_dir)?;
    let in_use =
        if held.registry.fleets.contains_key(fleet) { Vec::new() } else { routes(&format!("stb{}", fleet.short()))? };
    let taken = held.take(fleet, dir, wanted, &in_use)?;
    let network = Network::new(fleet, &taken);
    if fs_err::read_to_string(FORWARDING)?.trim() == "0" {
        held.registry.forwarding_was_off = true;
    }
    // Written before it is made: a crash in between leaves an entry that `release` takes back, never a nameless bridge.
    held.save()?;
    if !Utf8Path::new("/sys/class/net").join(&network.bridge).exists() {
        let mac = network.mac();
        IP.run(["link", "add", &network.bridge, "address", &mac, "type", "bridge"])
            .context("making the bridge for local nodes")?;
    }
    for address in network.gateway() {
        // `replace` so that a half-made bridge is completed; without duplicate address detection IPv6 is usable at once.
        let address = address.to_string();
        let mut args = vec!["address", "replace", &address, "dev", &network.bridge];
        if address.contains(':') {
            args.push("nodad");
        }
        IP.run(args)?;
    }
    IP.run(["link", "set", &network.bridge, "up"])?;
    NFT.run_with_stdin(["-f", "-"], &ruleset(fleet, &network)).context("setting up masquerade for local nodes")?;
    fs_err::write(FORWARDING, "1").context("turning on IPv4 forwarding")?;
    Ok(network)
}

/// Takes the fleet's network away, with forwarding where it was the last one and forwarding was off before.
///
/// # Errors
/// Fails where `ip` or `nft` do.
pub fn release(run_dir: &Utf8Path, fleet: &FleetId) -> Result<()> {
    if !run_dir.join("registry.json").exists() {
        return Ok(());
    }
    let mut held = Held::open(run_dir)?;
    let Some(taken) = held.registry.fleets.get(fleet).cloned() else { return Ok(()) };
    let table = table(fleet);
    // `add` before `delete`: the pair succeeds whether the table was there or not.
    let delete = ["inet", "bridge"]
        .map(|family| format!("add table {family} {table}\ndelete table {family} {table}\n"))
        .concat();
    NFT.run_with_stdin(["-f", "-"], &delete)?;
    if Utf8Path::new("/sys/class/net").join(&taken.bridge).exists() {
        IP.run(["link", "delete", &taken.bridge])?;
    }
    held.registry.fleets.remove(fleet);
    if held.registry.fleets.is_empty() && std::mem::take(&mut held.registry.forwarding_was_off) {
        fs_err::write(FORWARDING, "0").context("turning off IPv4 forwarding")?;
    }
    held.save()
}

/// Forgets who had these addresses before. A node's interface has another hardware address each time that the node starts, and the
/// host would go on for half a minute to speak to one that is not there any more.
///
/// # Errors
/// Fails where `ip` does.
pub(super) fn forget(bridge: &str, addresses: &[IpNet]) -> Result<()> {
    for address in addresses {
        IP.run(["neigh", "flush", "to", &address.addr().to_string(), "dev", bridge])?;
    }
    Ok(())
}

/// The name servers that nodes are told: the host's, without those that only the host itself can ask.
///
/// # Errors
/// Fails where the host has none that a node could reach.
pub fn nameservers() -> Result<Vec<IpAddr>> {
    // systemd-resolved's stub listens on loopback; the servers behind it stand in this file.
    for file in ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"] {
        let servers: Vec<IpAddr> = fs_err::read_to_string(file)
            .unwrap_or_default()
            .lines()
            .filter_map(|line| line.strip_prefix("nameserver")?.trim().parse().ok())
            .filter(|address: &IpAddr| !address.is_loopback())
            .collect();
        if !servers.is_empty() {
            return Ok(servers);
        }
    }
    Err(Error::failed("this machine has no name server that a node could reach")
        .hint("put a `nameserver` line with an address other than 127.0.0.0/8 into /etc/resolv.conf"))
}

fn table(fleet: &FleetId) -> String {
    format!("stead_{}", fleet.short())
}

/// The fleet's nftables table; replaced as a whole in one transaction.
fn ruleset(fleet: &FleetId, network: &Network) -> String {
    let (table, bridge, v4) = (table(fleet), &network.bridge, network.v4);
    format!(
        r#"
add table inet {table}
delete table inet {table}
table inet {table} {{
    chain forward {{
        type filter hook forward priority filter; policy accept;
        iifname "{bridge}" oifname "{bridge}" drop
        iifname "{bridge}" ip saddr != {v4} drop
        iifname "{bridge}" ip daddr 169.254.0.0/16 drop
        iifname "{bridge}" tcp flags syn tcp option maxseg size set rt mtu
        iifname "{bridge}" accept
        oifname "{bridge}" ct state established,related accept
        oifname "{bridge}" drop
    }}
    chain input {{
        type filter hook input priority filter; policy accept;
        iifname "{bridge}" ct state established,related accept
        iifname "{bridge}" meta l4proto {{ icmp, icmpv6 }} accept
        iifname "{bridge}" drop
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {v4} oifname != "{bridge}" masquerade
    }}
}}
"#
    )
}

/// The IPv4 networks that the host has routes to, apart from the default route and those of `bridge` (ours already).
fn routes(bridge: &str) -> Result<Vec<Ipv4Net>> {
    let listing = IP.run(["-4", "route", "show", "table", "all"])?;
    Ok(listing
        .lines()
        .filter(|line| !line.contains(&format!("dev {bridge}")))
        .flat_map(str::split_whitespace)
        .filter_map(|word| word.parse::<Ipv4Net>().ok())
        .filter(|net| net.prefix_len() > 0)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_follow_the_nodes_number() {
        let fleet: FleetId = "fl_0192f0c1".parse().unwrap();
        let taken = Taken { dir: "/f".into(), subnet: "10.99.7.0/24".parse().unwrap(), bridge: "stb1".into() };
        let network = Network::new(&fleet, &taken);
        assert_eq!(network.gateway()[0].to_string(), "10.99.7.1/24");
        let node = network.addresses(10);
        assert_eq!(node[0].to_string(), "10.99.7.10/24");
        assert!(node[1].to_string().starts_with("fd") && node[1].to_string().ends_with("::a/64"), "{}", node[1]);
    }
}
