//! What the API answers with, and what `--json` prints: the records as outsiders see them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::id::{AuditId, Mark, NodeId, RevisionId, TokenId, WorkflowId, WorkspaceId};
use crate::store::{
    AuditRow, Node, Revision, SecretRecord, SecretState, StepRecord, Suspension, TokenRecord, WorkflowRecord,
    WorkflowState, Workspace,
};
use crate::wire::plan::Summary;
use crate::workflow::flows::playbooks::Output;
use crate::workflow::flows::{check, converge};

/// A workspace, with its node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkspaceView {
    /// Its id.
    #[schema(value_type = String, example = "ws_01jd8x1s3ve5fs9v2t5g7qk0mz")]
    pub id: WorkspaceId,
    /// Its name in DNS and on the command line.
    pub slug: String,
    /// What people call it.
    pub name: Option<String>,
    /// The tier's name.
    pub tier: String,
    /// `files` or `api`.
    pub managed_by: String,
    /// Where it stands.
    pub state: String,
    /// The revision that it was last brought to.
    #[schema(value_type = Option<String>)]
    pub revision: Option<RevisionId>,
    /// Its node.
    pub node: Option<NodeView>,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When its record last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Grows with every change; the `ETag` of the record.
    pub version: u64,
    /// By whom it is suspended, or about to be, and why.
    #[serde(default)]
    pub suspension: Option<SuspensionView>,
}

/// That a workspace is suspended, or about to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SuspensionView {
    /// `operator`: the platform's operators alone resume it; or `customer`.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

impl From<Suspension> for SuspensionView {
    fn from(suspension: Suspension) -> Self {
        Self { by: suspension.by.to_string(), reason: suspension.reason, since: suspension.since }
    }
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeView {
    /// Its id.
    #[schema(value_type = String, example = "nd_01jd8x1s3ve5fs9v2t5g7qk0mz")]
    pub id: NodeId,
    /// The workspace that it serves.
    #[schema(value_type = String)]
    pub workspace_id: WorkspaceId,
    /// What everything made outside for this node carries.
    #[schema(value_type = String)]
    pub mark: Mark,
    /// The provider's name.
    pub provider: String,
    /// The provider's kind.
    pub kind: String,
    /// Where it stands.
    pub state: String,
    /// Its addresses, the one to use first in front.
    #[schema(value_type = Vec<String>)]
    pub addresses: Vec<IpAddr>,
    /// The TCP port of its sshd.
    pub ssh_port: u16,
    /// The management user.
    pub user: String,
    /// Its SSH host key, in OpenSSH's public format.
    pub host_key: Option<String>,
    /// Whether its host key was known beforehand or confirmed by an operator.
    pub verified: bool,
    /// The age recipient that its secrets are sealed for.
    pub recipient: Option<String>,
    /// The key of the image that it was made from.
    pub image: Option<String>,
    /// The version of its node agent.
    pub agent_version: Option<String>,
    /// The digest of the plan that it was last converged to.
    pub playbook_digest: Option<String>,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When its record last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// The host that a local node lies on.
    pub host: Option<String>,
    /// `serving`; or, while a rebuild replaces it, `outgoing`, and the one that takes its place `incoming`.
    pub role: String,
}

/// What is known of a secret: never a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretView {
    /// Its name.
    #[schema(example = "OPENAI_API_KEY")]
    pub name: String,
    /// Grows with every value that is given.
    pub version: u64,
    /// `waiting` for its node, `delivered`, or `lost` with its node: then it is to be given again.
    pub state: String,
    /// Keyed, salted hash of the value; the node has made the same of what it holds.
    pub fingerprint: String,
    /// The last four characters, of values longer than 16.
    pub masked_tail: Option<String>,
    /// When the node acknowledged the value.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub delivered_at: Option<Timestamp>,
    /// When its first value was given.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When its record last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl From<SecretRecord> for SecretView {
    fn from(secret: SecretRecord) -> Self {
        let state = match (secret.lost_at, secret.state) {
            (Some(_), _) => "lost",
            (None, SecretState::Delivered) => "delivered",
            (None, SecretState::Vault) => "waiting",
        };
        Self {
            name: secret.name,
            version: secret.version,
            state: state.to_owned(),
            fingerprint: secret.fingerprint,
            masked_tail: secret.masked_tail,
            delivered_at: secret.delivered_at,
            created_at: secret.created_at,
            updated_at: secret.updated_at,
        }
    }
}

impl WorkspaceView {
    /// The view of a workspace and its node.
    pub fn new(workspace: Workspace, node: Option<Node>) -> Self {
        Self {
            id: workspace.id,
            slug: workspace.slug,
            name: workspace.name,
            tier: workspace.tier,
            managed_by: workspace.managed_by.as_str().to_owned(),
            state: workspace.state.as_str().to_owned(),
            revision: workspace.revision_id,
            node: node.map(NodeView::from),
            created_at: workspace.created_at,
            updated_at: workspace.updated_at,
            version: workspace.version,
            suspension: workspace.suspension.map(SuspensionView::from),
        }
    }
}

impl From<Node> for NodeView {
    fn from(node: Node) -> Self {
        Self {
            id: node.id,
            workspace_id: node.workspace_id,
            mark: node.mark,
            provider: node.provider,
            kind: node.kind,
            state: node.state.as_str().to_owned(),
            addresses: node.addresses,
            ssh_port: node.ssh_port,
            user: node.user,
            host_key: node.host_key,
            verified: node.verified,
            recipient: node.recipient,
            image: node.image,
            agent_version: node.agent_version,
            playbook_digest: node.playbook_digest,
            created_at: node.created_at,
            updated_at: node.updated_at,
            host: node.host,
            role: node.role.as_str().to_owned(),
        }
    }
}

/// A workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkflowView {
    /// Its id.
    #[schema(value_type = String, example = "wf_01jd8x1s3ve5fs9v2t5g7qk0mz")]
    pub id: WorkflowId,
    /// The flow's name (`provision`).
    pub kind: String,
    /// The id of what it is about.
    pub subject: String,
    /// `queued`, `running`, `succeeded`, `unwinding`, `failed` or `parked`.
    pub state: String,
    /// Whether nothing more will happen by itself.
    pub over: bool,
    /// Why it failed, or waits.
    pub error: Option<String>,
    /// What kind of error that is: `failed`, `input`, `conflict`, `unreachable` or `unavailable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<String>,
    /// The host whose worker it is for.
    pub host: Option<String>,
    /// When it is tried again, where it waits for that.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub run_after: Option<Timestamp>,
    /// When it was enqueued.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When its record last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// When it was over.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// What it came to, of a `converge` or `check` that succeeded; only where one workflow is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ConvergedView>,
    /// Its steps, as far as they were begun; only where one workflow is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepView>,
}

/// What playbooks came to on a node, in tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Converged)]
pub struct ConvergedView {
    /// How many changed something; with `check`, would have.
    pub changed: u32,
    /// How many found all as it should be.
    pub unchanged: u32,
    /// How many had a condition that did not hold.
    pub skipped: u32,
    /// How many failed, and that was ignored or dealt with.
    pub ignored: u32,
    /// What the node's playbooks made and do not name any more.
    pub left_over: Vec<String>,
    /// What the node had taken back before, because nobody had confirmed it.
    pub taken_back: Option<String>,
}

impl ConvergedView {
    /// What the steps of a workflow that applies playbooks came to.
    fn of(workflow: &WorkflowRecord, steps: &[StepRecord]) -> Option<Self> {
        let applies = [converge::KIND, check::KIND].contains(&workflow.kind.as_str());
        let is_playbooks = |step: &&StepRecord| ["playbooks", "check"].contains(&step.name.as_str());
        let step = steps.iter().find(is_playbooks).filter(|_| applies && workflow.state == WorkflowState::Succeeded)?;
        let output: Output = serde_json::from_value(step.output.clone()?).ok()?;
        let Output { summary, left_over, taken_back } = output;
        let Summary { changed, unchanged, skipped, ignored, .. } = summary;
        Some(Self { changed, unchanged, skipped, ignored, left_over, taken_back })
    }
}

/// A step of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepView {
    /// Its name.
    pub name: String,
    /// `pending`, `running`, `done`, `failed`, `undoing` or `undone`.
    pub state: String,
    /// How often it was begun.
    pub attempt: u32,
    /// Why its last attempt failed.
    pub error: Option<String>,
    /// When it was first begun.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
}

impl WorkflowView {
    /// The view of a workflow and its steps.
    pub fn new(workflow: WorkflowRecord, steps: Vec<StepRecord>) -> Self {
        let result = ConvergedView::of(&workflow, &steps);
        let step = |step: StepRecord| StepView {
            name: step.name,
            state: step.state.to_string(),
            attempt: step.attempt,
            error: step.error,
            started_at: step.started_at,
            ended_at: step.ended_at,
        };
        Self {
            id: workflow.id,
            kind: workflow.kind,
            subject: workflow.subject,
            state: workflow.state.to_string(),
            over: workflow.state.is_over(),
            error: workflow.error,
            error_kind: workflow.error_kind,
            host: workflow.host,
            run_after: workflow.run_after,
            created_at: workflow.created_at,
            updated_at: workflow.updated_at,
            ended_at: workflow.ended_at,
            result,
            steps: steps.into_iter().map(step).collect(),
        }
    }
}

/// A token, without the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its id.
    #[schema(value_type = String, example = "tk_01jd8x1s3ve5fs9v2t5g7qk0mz")]
    pub id: TokenId,
    /// What people call it.
    pub name: String,
    /// `operator` or `support`; of a workspace `owner`, `admin`, `member` or `billing`.
    pub role: String,
    /// The workspace that it is for.
    #[schema(value_type = Option<String>)]
    pub workspace_id: Option<WorkspaceId>,
    /// What of that it is for; all of it where this is empty.
    pub scopes: Vec<String>,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
}

impl From<TokenRecord> for TokenView {
    fn from(token: TokenRecord) -> Self {
        Self {
            id: token.id,
            name: token.name,
            role: token.role.to_string(),
            workspace_id: token.workspace_id,
            scopes: token.scopes,
            created_by: token.created_by,
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
            revoked_at: token.revoked_at,
        }
    }
}

/// A revision of the fleet's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RevisionView {
    /// Its id.
    #[schema(value_type = String, example = "rv_01jd8x1s3ve5fs9v2t5g7qk0mz")]
    pub id: RevisionId,
    /// 1, 2, … in the order of publication.
    pub number: u32,
    /// SHA-256 over the files, in hexadecimal.
    pub digest: String,
    /// When it was published.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Who published it.
    pub created_by: String,
}

impl From<Revision> for RevisionView {
    fn from(revision: Revision) -> Self {
        let Revision { id, number, digest, created_at, created_by, .. } = revision;
        Self { id, number, digest, created_at, created_by }
    }
}

/// An entry of the audit log, without personal data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EntryView {
    /// Its id.
    #[schema(value_type = String, example = "au_01jd8x1s3ve5fs9v2t5g7qk0mz")]
    pub id: AuditId,
    /// When the act happened.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who did it.
    pub actor: String,
    /// What was done (`node.create`).
    pub action: String,
    /// To what: an id.
    pub target: String,
    /// How it ended: `done`, `refused`, or a workflow's end.
    pub outcome: String,
    /// The request or workflow in whose course it was done.
    pub request_id: Option<String>,
    /// More about the act.
    #[schema(value_type = Object)]
    pub details: serde_json::Value,
    /// Its place in the chain; none while it is not sealed.
    pub seq: Option<i64>,
    /// Its hash in the chain, in hexadecimal.
    pub hash: Option<String>,
}

impl From<AuditRow> for EntryView {
    fn from(row: AuditRow) -> Self {
        let AuditRow { id, at, actor, action, target, outcome, request_id, details, seq, hash, .. } = row;
        Self { id, at, actor, action, target, outcome, request_id, details, seq, hash }
    }
}
