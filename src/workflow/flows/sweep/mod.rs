//! The orphan sweep: what providers hold, compared with the record, both ways.
//!
//! It looks only at machines that bear this fleet's mark, and leaves alone whatever a workflow is busy with. A machine is
//! destroyed where the record says that its node is gone. One that the record has never heard of may be a customer's whose record
//! was lost with a restored backup: it is destroyed only by who asks for just that.

mod flow;
mod rounds;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

pub use self::flow::{KIND, Params, flow, subject};
pub use self::rounds::rounds;

use super::Platform;
use crate::Result;
use crate::audit::Entry;
use crate::fleet::ProviderKind;
use crate::id::{Mark, NodeId, WorkspaceId};
use crate::image::stages::Stages;
use crate::store::{Listed, Node, NodeRole, NodeState, Store, WorkspaceState};

/// The kinds of providers that make machines.
const KINDS: [ProviderKind; 1] = [ProviderKind::Local];

/// What is not as the record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The machine is there, and its node is gone by the record.
    LeftOver,
    /// The machine bears the fleet's mark, and the record has never heard of its node.
    Unknown,
    /// The node is there by the record, and its machine is gone.
    Lost,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::LeftOver, Self::Unknown, Self::Lost];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LeftOver => "left_over",
            Self::Unknown => "unknown",
            Self::Lost => "lost",
        }
    }
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What is wrong.
    pub fault: Fault,
    /// The provider's kind.
    pub provider: String,
    /// The machine's mark.
    pub mark: Mark,
    /// The node that the mark names.
    pub node: NodeId,
    /// The workspace that it served, where that is known.
    pub workspace: Option<WorkspaceId>,
    /// Whether it was put right.
    pub mended: bool,
}

/// What is to be put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mend {
    /// Machines whose node is gone are destroyed; nodes whose machine is gone are written down as degraded.
    pub known: bool,
    /// Machines that the record has never heard of are destroyed.
    pub unknown: bool,
}

/// Looks, and mends what it is told to. `actor` is for the audit log.
///
/// # Errors
/// Fails where a provider or the store does.
pub async fn sweep(platform: &Platform, store: &Store, mend: Mend, actor: &str) -> Result<Vec<Finding>> {
    let mut machines = Vec::new();
    for kind in KINDS.map(|kind| kind.to_string()) {
        for machine in platform.provider(&kind)?.list().await? {
            machines.push((kind.clone(), machine.mark));
        }
    }
    // After the machines: a node is recorded before its machine is made.
    let mut reader = store.read().await?;
    let nodes: HashMap<NodeId, Node> =
        reader.nodes(Listed::All).await?.into_iter().map(|node| (node.id, node)).collect();
    let busy: Vec<String> =
        reader.workflows(Listed::Live).await?.into_iter().map(|workflow| workflow.subject).collect();
    drop(reader);
    let is_busy = |node: &Node| busy.contains(&node.workspace_id.to_string());

    let mut found = Vec::new();
    for (provider, mark) in machines {
        let Some((mark, id)) = Mark::parse(&platform.fleet_id, mark.as_str()) else { continue };
        let node = nodes.get(&id);
        let fault = match node {
            None => Fault::Unknown,
            // What an abandoned rebuild has left serves nobody.
            Some(node) if (node.state == NodeState::Gone || node.role != NodeRole::Serving) && !is_busy(node) => {
                Fault::LeftOver
            }
            Some(_) => continue,
        };
        let workspace = node.map(|node| node.workspace_id);
        let mut finding = Finding { fault, provider, mark, node: id, workspace, mended: false };
        if (fault == Fault::LeftOver && mend.known) || (fault == Fault::Unknown && mend.unknown) {
            destroy(platform, store, &finding, actor).await?;
            retire(store, id).await?;
            finding.mended = true;
        }
        found.push(finding);
    }
    let told: Vec<NodeId> = found.iter().map(|finding| finding.node).collect();
    let nodes = nodes.values().filter(|node| !told.contains(&node.id));
    for node in nodes.filter(|node| is_ours(node, platform) && !is_busy(node)) {
        // Asked anew: it may have been made since the list.
        if platform.provider(&node.kind)?.find(&node.mark).await?.is_some() {
            continue;
        }
        let (provider, workspace) = (node.kind.clone(), Some(node.workspace_id));
        let mut finding =
            Finding { fault: Fault::Lost, provider, mark: node.mark.clone(), node: node.id, workspace, mended: false };
        if mend.known {
            finding.mended = write_down(store, node.id, actor).await?;
        }
        found.push(finding);
    }
    found.sort_by_key(|finding| finding.node);
    Ok(found)
}

/// Writes down what was found on this host, for those who ask elsewhere.
///
/// # Errors
/// Fails where the store does.
pub async fn record(platform: &Platform, store: &Store, found: &[Finding]) -> Result<()> {
    let mut by_kind = Vec::new();
    for kind in KINDS.map(|kind| kind.to_string()) {
        let findings: Vec<&Finding> = found.iter().filter(|finding| finding.provider == kind).collect();
        by_kind.push((serde_json::json!(findings), kind));
    }
    let host = platform.host.clone();
    let write = store.write(move |tx| {
        Box::pin(async move {
            for (findings, kind) in by_kind {
                tx.put_sweep(&host, &kind, &findings).await?;
            }
            Ok(())
        })
    });
    write.await
}

/// Whether a node's machine would be found here if it were there.
fn is_ours(node: &Node, platform: &Platform) -> bool {
    let under_way = matches!(node.state, NodeState::Creating | NodeState::Deprovisioning);
    let is_settled = node.state != NodeState::Gone && (!under_way || node.role != NodeRole::Serving);
    let here = node.host.as_ref().is_none_or(|host| *host == platform.host);
    is_settled && here && KINDS.iter().any(|kind| kind.to_string() == node.kind)
}

async fn destroy(platform: &Platform, store: &Store, finding: &Finding, actor: &str) -> Result<()> {
    // Before: what is destroyed without a record of it was destroyed by nobody.
    let entry = Entry::new(actor, "machine.destroy", finding.node.to_string()).detail("mark", finding.mark.as_str());
    store.write(move |tx| Box::pin(entry.append(tx))).await?;
    platform.provider(&finding.provider)?.destroy(&finding.mark).await?;
    Stages::new(&platform.config.cache_dir).unpin(finding.mark.as_str())
}

/// Writes down that a node is gone which served nobody.
async fn retire(store: &Store, id: NodeId) -> Result<()> {
    let retired = store.write(move |tx| {
        Box::pin(async move {
            let Some(mut node) = tx.node(id).await? else { return Ok(()) };
            if node.role != NodeRole::Serving && node.state != NodeState::Gone {
                node.state = NodeState::Gone;
                tx.update_node(&node).await?;
                tx.delete_envelopes_of(id).await?;
            }
            Ok(())
        })
    });
    retired.await
}

/// Writes down that a node's machine is gone; whether that is news.
async fn write_down(store: &Store, id: NodeId, actor: &str) -> Result<bool> {
    let entry = Entry::new(actor, "node.lost", id.to_string());
    let written = store.write(move |tx| {
        Box::pin(async move {
            let Some(mut node) = tx.node(id).await? else { return Ok(false) };
            let serves = node.role == NodeRole::Serving;
            // Changed since it was looked for.
            let is_over = node.state == NodeState::Gone;
            if is_over || serves && matches!(node.state, NodeState::Deprovisioning | NodeState::Degraded) {
                return Ok(false);
            }
            node.state = if serves { NodeState::Degraded } else { NodeState::Gone };
            tx.update_node(&node).await?;
            if serves
                && let Some(mut workspace) = tx.workspace(node.workspace_id).await?
                && workspace.state == WorkspaceState::Ready
            {
                workspace.state = WorkspaceState::Degraded;
                tx.update_workspace(&workspace).await?;
            }
            entry.append(tx).await?;
            Ok(true)
        })
    });
    written.await
}
