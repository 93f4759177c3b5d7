//! `converge`: an existing node, made to match what is declared.

use super::{Platform, health, playbooks, secrets, start, undeclared};
use crate::store::NodeRole;
use crate::workflow::Flow;

/// The flow's name.
pub const KIND: &str = "converge";

/// The flow. Starts the node where it is stopped, brings secrets that are new, applies the playbooks, forgets secrets
/// that are not declared any more, asks for health. Nothing of it is taken back: what was applied is what is declared.
pub fn flow() -> Flow<Platform> {
    Flow {
        kind: KIND,
        steps: vec![
            Box::new(start::Start),
            Box::new(secrets::Secrets { on_new_node: false, role: NodeRole::Serving }),
            Box::new(playbooks::Playbooks(NodeRole::Serving)),
            Box::new(undeclared::Undeclared),
            Box::new(health::Health(NodeRole::Serving)),
        ],
    }
}
