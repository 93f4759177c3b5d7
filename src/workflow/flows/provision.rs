//! `provision`: from a declared workspace to a healthy node.

use super::{Platform, boot, health, host_key, identity, image, machine, node, playbooks, secrets};
use crate::store::NodeRole;
use crate::workflow::Flow;

/// The flow's name.
pub const KIND: &str = "provision";

/// The flow. When a step fails for good, everything before it is taken back, and no machine stays.
pub fn flow() -> Flow<Platform> {
    Flow {
        kind: KIND,
        steps: vec![
            Box::new(image::Image),
            Box::new(node::Record(NodeRole::Serving)),
            Box::new(machine::Machine(NodeRole::Serving)),
            Box::new(boot::Boot(NodeRole::Serving)),
            Box::new(host_key::HostKey(NodeRole::Serving)),
            Box::new(identity::Identity(NodeRole::Serving)),
            Box::new(secrets::Secrets { on_new_node: true, role: NodeRole::Serving }),
            Box::new(playbooks::Playbooks(NodeRole::Serving)),
            Box::new(health::Health(NodeRole::Serving)),
        ],
    }
}
