//! Which playbooks are applied to a node, and how.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::wire::plan::ApplyOptions;

/// Which playbooks are applied to a node, and how. The default is all that the workspace's tier names, and nothing beside
/// them. It is recorded with the workflow, so it holds no secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choice {
    /// These playbooks in place of the tier's.
    pub playbooks: Vec<String>,
    /// Only the tasks with one of these tags.
    pub tags: Vec<String>,
    /// Variables that go before all others.
    pub vars: Map<String, Value>,
    /// Show what changes in files.
    pub diff: bool,
    /// Remove what the node's playbooks made and do not name any more.
    pub prune: bool,
    /// Go on where the last run of the same plan broke.
    pub resume: bool,
    /// How long the node waits for the confirmation of guarded changes, in seconds; 0 means a minute.
    pub confirm_within: u32,
}

impl Choice {
    /// Whether the node is brought to all that is declared for it, and to nothing else.
    pub fn is_whole(&self) -> bool {
        self.playbooks.is_empty() && self.tags.is_empty() && self.vars.is_empty()
    }

    /// How the plan is applied.
    pub fn options(&self) -> ApplyOptions {
        ApplyOptions {
            diff: self.diff,
            prune: self.prune,
            resume: self.resume,
            confirm_within: self.confirm_within,
            ..ApplyOptions::default()
        }
    }
}
