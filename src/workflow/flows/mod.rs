//! The flows: one file per flow, and the steps that several share.
//!
//! A flow names its steps; what a step does, and how it is taken back, stands with the step. Every step may be run again
//! after it has succeeded or half succeeded.

mod boot;
mod brought;
mod choice;
pub mod converge;
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
mod reach;
mod secrets;
mod start;
mod undeclared;

pub use choice::Choice;
pub use platform::{Desired, Platform, SIZE};
pub use reach::is_brought;

use serde::{Deserialize, Serialize};

use super::Registry;
use crate::id::WorkspaceId;

/// What every flow of a workspace is given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Params {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its slug, for messages.
    pub slug: String,
    /// Who asked for it, for the audit log.
    pub actor: String,
    /// Of a machine that people brought: it is gone for good, and cannot be given back.
    #[serde(default)]
    pub gone: bool,
}

/// All flows of this program.
pub fn registry() -> Registry<Platform> {
    Registry::default().with(provision::flow()).with(converge::flow()).with(deprovision::flow()).with(forget::flow())
}
