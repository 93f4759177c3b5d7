//! cloud-init's network-config, version 2. See
//! <https://cloudinit.readthedocs.io/en/latest/reference/network-config-format-v2.html>.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::json;

use super::yaml;

/// Which interface is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interface {
    /// The one with this name: `host0` in a systemd-nspawn container.
    Name(String),
    /// The one with this hardware address (`52:54:00:12:34:56`), under this name.
    Mac {
        /// The hardware address.
        address: String,
        /// The name that the interface gets.
        name: String,
    },
}

/// A machine's one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Which interface.
    pub interface: Interface,
    /// Its addresses, with the length of their prefix.
    pub addresses: Vec<IpNet>,
    /// Where everything else goes: at most one for each family.
    pub gateways: Vec<IpAddr>,
    /// Resolvers.
    pub nameservers: Vec<IpAddr>,
}

impl Network {
    /// The document.
    pub fn render(&self) -> String {
        // cloud-init 25 refuses `to: default`, which earlier ones take.
        let routes: Vec<_> = self
            .gateways
            .iter()
            .map(|via| json!({"to": if via.is_ipv4() { "0.0.0.0/0" } else { "::/0" }, "via": via}))
            .collect();
        let mut ethernet = json!({
            "dhcp4": false,
            "dhcp6": false,
            // Addresses are given, all of them: Debian 12's networkd would wait 14 seconds for a router to speak.
            "accept-ra": false,
            "addresses": self.addresses,
        });
        if !routes.is_empty() {
            ethernet["routes"] = json!(routes);
        }
        if !self.nameservers.is_empty() {
            ethernet["nameservers"] = json!({"addresses": self.nameservers});
        }
        let name = match &self.interface {
            Interface::Name(name) => name,
            Interface::Mac { address, name } => {
                ethernet["match"] = json!({"macaddress": address.to_ascii_lowercase()});
                ethernet["set-name"] = json!(name);
                name
            }
        };
        yaml::write(&json!({"version": 2, "ethernets": {name: ethernet}}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dual_stack_by_name_and_by_hardware_address() {
        let mut network = Network {
            interface: Interface::Name("host0".into()),
            addresses: vec!["10.77.0.2/24".parse().unwrap(), "fd00::2/64".parse().unwrap()],
            gateways: vec!["10.77.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            nameservers: vec!["192.0.2.53".parse().unwrap()],
        };
        insta::assert_snapshot!("by_name", network.render());
        network.interface = Interface::Mac { address: "52:54:00:AA:00:01".into(), name: "eth0".into() };
        network.gateways.clear();
        network.nameservers.clear();
        insta::assert_snapshot!("by_hardware_address", network.render());
    }
}
