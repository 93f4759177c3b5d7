//! `provision`: from a declared workspace to a healthy node.

use super::{Platform, boot, health, host_key, identity, image, machine, node, playbooks, secrets};
use crate::workflow::Flow;

/// The flow's name.
pub const KIND: &str = "provision";

/// The flow. When a step fails for good, everything before it is taken back, and no machine stays.
pub fn flow() -> Flow<Platform> {
    Flow {
        kind: KIND,
        steps: vec![
            Box::new(image::Image),
            Box::new(node::Record),
            Box::new(machine::Machine),
            Box::new(boot::Boot),
            Box::new(host_key::HostKey),
            Box::new(identity::Identity),
            Box::new(secrets::Secrets { on_new_node: true }),
            Box::new(playbooks::Playbooks),
            Box::new(health::Health),
        ],
    }
}
