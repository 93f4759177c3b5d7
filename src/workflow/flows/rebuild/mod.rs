//! `rebuild`: another node in the place of the one that serves a workspace, with all that is on it.
//!
//! The new node is made beside the old one and set up as any; then the old one's workload is stopped, and the old node hands its
//! data and secrets over, encrypted to the new one's recipient. `switch` is the point of no return: until then every failure ends
//! with the old node serving again and no trace of the new one; from then on the old one goes, whatever it takes.
//!
//! With `lose_data` nothing is handed over, for an old node that is dead. Operators' secrets come from their vault again; those
//! that came through the API are recorded as lost, until they are given again.

mod clear;
mod hand_over;
mod old;
mod switch;
mod workload;

pub(super) use workload::resume_with;

use super::deprovision::{Destroy, Doomed, Retire, Wipe};
use super::{Platform, boot, health, host_key, identity, image, machine, node, playbooks, secrets};
use crate::store::NodeRole;
use crate::workflow::Flow;

/// The flow's name.
pub const KIND: &str = "rebuild";

/// The flow.
pub fn flow() -> Flow<Platform> {
    const NEW: NodeRole = NodeRole::Incoming;
    Flow {
        kind: KIND,
        steps: vec![
            Box::new(old::Old),
            Box::new(clear::Clear),
            Box::new(image::Image),
            Box::new(node::Record(NEW)),
            Box::new(machine::Machine(NEW)),
            Box::new(boot::Boot(NEW)),
            Box::new(host_key::HostKey(NEW)),
            Box::new(identity::Identity(NEW)),
            Box::new(workload::Stop),
            Box::new(hand_over::HandOver),
            Box::new(secrets::Lost),
            Box::new(playbooks::Playbooks(NEW)),
            Box::new(health::Health(NEW)),
            Box::new(switch::Switch),
            Box::new(Wipe(Doomed::Outgoing)),
            Box::new(Destroy(Doomed::Outgoing)),
            Box::new(Retire(Doomed::Outgoing)),
        ],
    }
}
