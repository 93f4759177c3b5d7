//! The recorded host keys, for OpenSSH's client: `.stead/known_hosts`.

use std::fmt::Write;

use camino::{Utf8Path, Utf8PathBuf};

use crate::store::Node;
use crate::{Result, atomic_file, ownership};

/// OpenSSH's port where a line names none.
const SSH_PORT: u16 = 22;

/// Writes the file (0600) for these nodes, over an earlier one, and gives its path.
///
/// # Errors
/// Fails as the file system does.
pub(super) fn write(fleet_dir: &Utf8Path, nodes: &[Node]) -> Result<Utf8PathBuf> {
    let path = fleet_dir.join(".stead/known_hosts");
    atomic_file::write(&path, text(nodes).as_bytes(), 0o600)?;
    ownership::inherit(&path)?;
    Ok(path)
}

/// One line per address and key (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"). A key that is pending may be in use already; one
/// that came with the user-data is never for people, and an unverified one is for nobody.
fn text(nodes: &[Node]) -> String {
    let mut text = String::new();
    for node in nodes.iter().filter(|node| node.verified) {
        for key in node.host_key.iter().chain(&node.host_key_pending) {
            for address in &node.addresses {
                let _ = match node.ssh_port {
                    SSH_PORT => writeln!(text, "{address} {key}"),
                    port => writeln!(text, "[{address}]:{port} {key}"),
                };
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};
    use crate::id::{FleetId, WorkspaceId};

    fn node(address: &str, key: &str) -> Node {
        let mut node = Node::new(&FleetId::mint(), WorkspaceId::new(), "local", "local", SystemClock.now());
        node.addresses = vec![address.parse().unwrap()];
        node.host_key = Some(key.to_owned());
        node.verified = true;
        node
    }

    #[test]
    fn only_keys_that_are_recorded_as_the_nodes_own_are_known() {
        let plain = Node { bootstrap_host_key: Some("boot".into()), ..node("10.0.0.1", "ssh-ed25519 A") };
        let elsewhere =
            Node { ssh_port: 2222, host_key_pending: Some("ssh-ed25519 C".into()), ..node("fd00::2", "ssh-ed25519 B") };
        let unverified = Node { verified: false, ..node("10.0.0.3", "ssh-ed25519 D") };
        let expected = "10.0.0.1 ssh-ed25519 A\n[fd00::2]:2222 ssh-ed25519 B\n[fd00::2]:2222 ssh-ed25519 C\n";
        assert_eq!(text(&[plain, elsewhere, unverified]), expected);
    }
}
