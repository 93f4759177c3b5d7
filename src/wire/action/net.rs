//! The network.

use serde::{Deserialize, Serialize};

/// `firewall`: the packet filter's rules (nft(8)), checked, loaded as a whole, and loaded anew at every boot by
/// `nftables.service`. In an image's root they are for the next boot only.
///
/// The kernel takes them before the file does, so that what it refuses is never what the next boot loads. A table that the
/// rules neither flush nor delete themselves is replaced whole; one that the file had before and has no more goes; others'
/// tables stay, unless the rules say `flush ruleset`. Rules that somebody has flushed are loaded again. A playbook that does
/// not name the rules any more leaves them where they are: pruning opens no node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firewall {
    /// As for [`Template::template`](super::Template::template).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Where they are written to (0640); `/etc/nftables.conf` where not given, which is what `nftables.service` loads:
    /// another file has to be included there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}
