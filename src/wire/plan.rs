//! What is to be done on a node, and what was.
//!
//! The controller compiles playbooks to one [`Plan`] and sends it whole; the node agent evaluates facts, `when`, `loop`
//! and `register` where they are true, on the node.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::action::Action;

/// What the node is, as templates and conditions see it.
pub type Facts = Value;

/// The version of [`Plan`] that this program writes and takes.
pub const PLAN_VERSION: u32 = 1;

/// A compiled playbook run: plays in the order in which they are applied.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_VERSION`].
    pub version: u32,
    /// Variables from tier, workspace and command line, already merged; they go before a play's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, Value>,
    /// One per playbook.
    pub plays: Vec<Play>,
    /// Content of files and templates, by the SHA-256 of the content in lower-case hexadecimal digits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub blobs: BTreeMap<String, Blob>,
    /// The sizes, in bytes, of content that is not in the plan, by its SHA-256: the node asks for what it lacks, when it
    /// needs it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub apart: BTreeMap<String, u64>,
    /// These are all of the node's playbooks, and all of their tasks: what the node's record of made things has beside
    /// these is left over.
    #[serde(default)]
    pub whole: bool,
    /// Names of variables whose values are masked in everything that the agent reports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sensitive: Vec<String>,
}

/// One playbook's tasks.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Play {
    /// The playbook's name; handlers that were notified and have not run yet are remembered under it.
    pub name: String,
    /// The playbook's own variables, which have the lowest precedence.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, Value>,
    /// What to do, in order.
    pub steps: Vec<Step>,
    /// What to do once at the end, in this order, where a task notified it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handlers: Vec<Task>,
}

/// A task, or a group of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// One task.
    Task(Box<Task>),
    /// A group.
    Block(Block),
}

/// A group of steps with a way to deal with their failure.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Block {
    /// The group's steps. A condition on the group stands in each of its tasks.
    pub tasks: Vec<Step>,
    /// Done where one of `tasks` failed; the failure counts as dealt with, unless one of these fails as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rescue: Vec<Step>,
    /// Done at the end in any case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub always: Vec<Step>,
}

/// One task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    /// Unique in its plan.
    pub id: u32,
    /// For people.
    pub name: String,
    /// What it does. Every string in it is a template.
    pub action: Action,
    /// Done only where this expression is true; evaluated for each item of a loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Done once for each item, which the task sees as `item`.
    #[serde(default, rename = "loop", skip_serializing_if = "Option::is_none")]
    pub loop_: Option<Loop>,
    /// The variable that takes the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub register: Option<String>,
    /// Decides whether the task counts as changed; sees the result as `result`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_when: Option<String>,
    /// Decides whether the task counts as failed; sees the result as `result`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_when: Option<String>,
    /// How often to try again after a failure.
    #[serde(default)]
    pub retries: u32,
    /// Seconds between tries.
    #[serde(default)]
    pub delay: u32,
    /// Seconds after which a command of the task is ended and the task fails; 0 means the default of its type.
    #[serde(default)]
    pub timeout: u32,
    /// Names of handlers of the same play, run at its end where this task changed something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<String>,
    /// Variables for this task only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, Value>,
    /// Whether the node takes the changes back unless the controller confirms them over a new connection; where not given,
    /// what could lock it out is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<bool>,
    /// A failure is reported and does not stop the run.
    #[serde(default)]
    pub ignore_errors: bool,
    /// Diff and output of this task are never shown.
    #[serde(default)]
    pub sensitive: bool,
    /// Where it is written: `playbooks/agents.yaml:12`.
    #[serde(default)]
    pub origin: String,
}

/// What a task is repeated over.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loop {
    /// These values; strings in them are templates.
    Items(Vec<Value>),
    /// The list that this expression gives on the node.
    Expression(String),
}

/// Content, carried in base 64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Blob(pub Vec<u8>);

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl From<Blob> for String {
    fn from(blob: Blob) -> String {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(blob.0)
    }
}

impl TryFrom<String> for Blob {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.decode(text).map(Blob)
    }
}

impl Plan {
    /// What names the plan: SHA-256, in hexadecimal. The content is in it by its hashes.
    pub fn digest(&self) -> String {
        use sha2::{Digest, Sha256};
        let parts = (self.version, self.whole, &self.vars, &self.plays, self.blobs.keys().collect::<Vec<_>>());
        hex::encode(Sha256::digest(serde_json::to_vec(&parts).expect("maps with texts for keys are JSON")))
    }

    /// Whether several tasks name this content.
    pub fn names_often(&self, hash: &str) -> bool {
        serde_json::to_string(&self.plays).is_ok_and(|text| text.matches(hash).count() > 1)
    }

    /// Takes content in, and gives back the hash that names it.
    pub fn add_blob(&mut self, content: Vec<u8>) -> String {
        use sha2::{Digest, Sha256};
        let hash = hex::encode(Sha256::digest(&content));
        self.blobs.insert(hash.clone(), Blob(content));
        hash
    }
}

/// How to apply a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyOptions {
    /// Only tell what would change.
    #[serde(default)]
    pub check: bool,
    /// Show what changes in files.
    #[serde(default)]
    pub diff: bool,
    /// Remove what the node's playbooks made and do not name any more; needs a plan that is [`Plan::whole`].
    #[serde(default)]
    pub prune: bool,
    /// How long the controller may take to confirm guarded changes, in seconds, from the run's end; 0 means a minute.
    #[serde(default)]
    pub confirm_within: u32,
    /// Go on where the last run of the same plan broke.
    #[serde(default)]
    pub resume: bool,
    /// The machine is an image's root without a running systemd: services are enabled, never started.
    #[serde(default)]
    pub image: bool,
}

/// How a plan's application ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The counts.
    pub summary: Summary,
    /// A task wants the machine booted, which may take this long, in seconds. It is for the controller to say
    /// [`super::message::Request::Reboot`], and then to apply the plan again with [`ApplyOptions::resume`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reboot: Option<u32>,
    /// What the node's playbooks made and do not name any more (`file /etc/motd`); empty where it was removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_over: Vec<String>,
    /// Changes that the node takes back, unless the controller confirms them over a new connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guarded>,
}

/// Changes that wait to be confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guarded {
    /// Names the run; [`super::message::Request::Confirm`] takes it.
    pub id: String,
    /// How long the node waits, in seconds.
    pub seconds: u32,
}

/// How a task ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// It began; another event with the same task and item tells how it ended. Sent for tasks that may take long.
    Started,
    /// All was as it should be.
    #[default]
    Ok,
    /// Something was changed (or would be, with `check`).
    Changed,
    /// Its condition did not hold.
    Skipped,
    /// It failed, and the run stops unless a block's `rescue` deals with it.
    Failed,
    /// It failed, and was told to ignore that.
    Ignored,
}

/// Something that happened while a plan was applied.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TaskEvent {
    /// [`Task::id`].
    pub task: u32,
    /// The play's name.
    pub play: String,
    /// [`Task::name`], rendered.
    pub name: String,
    /// The task's type, as playbooks name it.
    pub kind: String,
    /// [`Task::origin`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub origin: String,
    /// The item of a loop, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// Whether the task ran as a handler.
    #[serde(default)]
    pub handler: bool,
    /// How it ended.
    pub status: Status,
    /// What changed, or why it failed; one line for each change.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The way out of a failure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// A unified diff of the files that changed, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// How long the task took, in milliseconds.
    pub elapsed_ms: u64,
}

/// How a plan's application ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Tasks that changed something (or would, with `check`).
    pub changed: u32,
    /// Tasks that found all as it should be.
    pub unchanged: u32,
    /// Tasks whose condition did not hold.
    pub skipped: u32,
    /// Tasks that failed, apart from those that were told to ignore it or that a `rescue` dealt with.
    pub failed: u32,
    /// Failures that were ignored or dealt with.
    #[serde(default)]
    pub ignored: u32,
}

impl Summary {
    /// Whether the node is as the plan wants it, or could be brought there.
    pub fn succeeded(&self) -> bool {
        self.failed == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_survives_the_wire_under_its_hash() {
        let mut plan = Plan { version: PLAN_VERSION, ..Plan::default() };
        let hash = plan.add_blob(b"\xff\0x".to_vec());
        let back: Plan = serde_json::from_slice(&serde_json::to_vec(&plan).unwrap()).unwrap();
        assert_eq!(back.blobs[&hash].0, b"\xff\0x");
        assert!(serde_json::from_str::<Blob>("\"!\"").is_err());
    }
}
