//! What could lock the controller out, and is guarded unless a playbook says otherwise.

use crate::node::machine::Touch;

/// Files and folders of sshd, the network, the packet filter, and of who may log in and become root.
const PATHS: [&str; 12] = [
    "/etc/ssh",
    "/etc/nftables.conf",
    "/etc/nftables.d",
    "/etc/network",
    "/etc/netplan",
    "/etc/systemd/network",
    "/etc/resolv.conf",
    "/etc/hosts.allow",
    "/etc/hosts.deny",
    "/etc/pam.d",
    "/etc/sudoers",
    "/etc/sudoers.d",
];
/// Units of theirs.
const UNITS: [&str; 8] = [
    "ssh.service",
    "sshd.service",
    "ssh.socket",
    "nftables.service",
    "networking.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-resolved.service",
];

/// Whether a change could lock the controller out.
pub(crate) fn is_sensitive(touch: &Touch) -> bool {
    match touch {
        Touch::Path(path) => {
            let path = camino::Utf8Path::new(path);
            let of_unit = path.strip_prefix("/etc/systemd/system").is_ok_and(|rest| {
                let name = rest.iter().next().unwrap_or_default();
                UNITS.iter().any(|unit| name.strip_suffix(".d").unwrap_or(name) == *unit)
            });
            of_unit
                || PATHS.iter().any(|sensitive| path.starts_with(sensitive))
                || path.ends_with(".ssh/authorized_keys")
        }
        Touch::Unit(unit) => UNITS.contains(&unit.as_str()),
        Touch::Ruleset => true,
        Touch::Sysctl(name) => name.starts_with("net."),
        Touch::UnitFiles => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_to_the_node_is_sensitive() {
        let path = |path: &str| is_sensitive(&Touch::Path(path.into()));
        assert!(path("/etc/ssh/sshd_config.d/10-x.conf") && path("/etc/systemd/system/ssh.service.d/x.conf"));
        assert!(path("/root/.ssh/authorized_keys") && path("/etc/sudoers.d/stead") && path("/etc/network/interfaces"));
        assert!(!path("/etc/sshx") && !path("/etc/systemd/system/agent@.service") && !path("/etc/motd"));
        assert!(is_sensitive(&Touch::Unit("ssh.service".into())) && !is_sensitive(&Touch::Unit("cron.service".into())));
        assert!(is_sensitive(&Touch::Sysctl("net.ipv4.ip_forward".into())) && is_sensitive(&Touch::Ruleset));
        assert!(!is_sensitive(&Touch::Sysctl("kernel.kptr_restrict".into())));
    }
}
