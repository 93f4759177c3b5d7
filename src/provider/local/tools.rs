//! The programs that local nodes need.

use crate::tool::Tool;

/// Makes bridges and addresses.
pub const IP: Tool = Tool { program: "ip", package: "iproute2", purpose: "connect local nodes" };
/// Masquerades, and keeps nodes apart.
pub const NFT: Tool = Tool { program: "nft", package: "nftables", purpose: "give local nodes a way to the outside" };
/// Runs the nodes.
pub const NSPAWN: Tool = Tool { program: "systemd-nspawn", package: "systemd-container", purpose: "run local nodes" };

/// Makes a node's network namespace.
pub const UNSHARE: Tool =
    Tool { program: "unshare", package: "util-linux", purpose: "give local nodes a network of their own" };
/// Works inside one.
pub const NSENTER: Tool =
    Tool { program: "nsenter", package: "util-linux", purpose: "give local nodes a network of their own" };

/// All of them.
pub const ALL: [Tool; 5] = [IP, NFT, NSPAWN, UNSHARE, NSENTER];
