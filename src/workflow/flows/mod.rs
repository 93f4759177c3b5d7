//! The flows: one file per flow, and the steps that several share.
//!
//! A flow names its steps; what a step does, and how it is taken back, stands with the step. Every step may be run again
//! after it has succeeded or half succeeded.

mod awaited;
mod boot;
mod brought;
pub mod check;
mod choice;
pub mod converge;
mod declared;
pub mod deliver;
pub mod deprovision;
pub mod forget;
mod health;
mod host_key;
mod identity;
pub mod image;
mod machine;
mod node;
mod platform;
pub mod playbooks;
pub mod provision;
pub mod publish;
mod reach;
pub mod rebuild;
pub mod resume;
pub mod rotate_identity;
mod secrets;
mod start;
pub mod suspend;
pub mod sweep;
mod undeclared;

pub use choice::Choice;
pub use platform::{Desired, Platform, SIZE};
pub use reach::is_brought;

use serde::{Deserialize, Serialize};

use super::Registry;
use crate::id::WorkspaceId;
use crate::store::{ManagedBy, Workspace};

/// What every flow of a workspace is given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Params {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its slug, for messages.
    pub slug: String,
    /// The tier of a workspace that the fleet's files do not declare.
    #[serde(default)]
    pub tier: Option<String>,
    /// Who asked for it, for the audit log.
    pub actor: String,
    /// Of a machine that people brought: it is gone for good, and cannot be given back.
    #[serde(default)]
    pub gone: bool,
    /// Of a workspace whose node is destroyed: it ends as well, and its slug is free again.
    #[serde(default)]
    pub ends: bool,
    /// Of a node that is replaced: what is on it is not wanted, or cannot be had any more.
    #[serde(default)]
    pub lose_data: bool,
}

impl Params {
    /// What a flow of this workspace is given.
    pub fn of(workspace: &Workspace, actor: &str) -> Self {
        Self {
            workspace: workspace.id,
            slug: workspace.slug.clone(),
            tier: (workspace.managed_by == ManagedBy::Api).then(|| workspace.tier.clone()),
            actor: actor.to_owned(),
            gone: false,
            ends: false,
            lose_data: false,
        }
    }
}

/// All flows of this program.
pub fn registry() -> Registry<Platform> {
    let flows = [
        provision::flow(),
        converge::flow(),
        check::flow(),
        deprovision::flow(),
        forget::flow(),
        deliver::deliver(),
        deliver::remove(),
        rotate_identity::flow(),
        rebuild::flow(),
        suspend::flow(),
        resume::flow(),
        sweep::flow(),
    ];
    flows.into_iter().fold(Registry::default(), Registry::with)
}
