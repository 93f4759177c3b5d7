//! `converge`: an existing node, made to match what is declared.

use serde::{Deserialize, Serialize};

use super::{Choice, Params, Platform, health, playbooks, secrets, start, undeclared};
use crate::id::RevisionId;
use crate::store::{NodeRole, WorkflowRecord, WorkflowState};
use crate::workflow::Flow;

/// The flow's name.
pub const KIND: &str = "converge";

/// What the flow, and [`check`](super::check), are given beside what every flow is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Given {
    /// The workspace, and who asked.
    #[serde(flatten)]
    pub params: Params,
    /// What is applied, and how.
    #[serde(flatten)]
    pub choice: Choice,
}

impl Choice {
    /// The choice, and the revision, of a run that goes on where the last one broke: the same plan as then. Where none broke,
    /// this one, at `revision`.
    #[must_use]
    pub fn resumed(&self, last: Option<&WorkflowRecord>, revision: Option<RevisionId>) -> (Self, Option<RevisionId>) {
        let Some(broken) = last.filter(|last| self.resume && last.state != WorkflowState::Succeeded) else {
            return (self.clone(), revision);
        };
        let then: Self = serde_json::from_value(broken.params.clone()).unwrap_or_default();
        let choice = Self { resume: true, diff: self.diff, confirm_within: self.confirm_within, ..then };
        (choice, broken.revision_id)
    }
}

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
