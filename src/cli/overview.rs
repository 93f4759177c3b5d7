//! What is declared, what is recorded, and what is really there, side by side.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

use super::env::{Env, Place};
use super::missing::missing;
use super::outdated::{Declared, Outdated};
use super::plane::Plane;
use crate::api::fleet::FleetView;
use crate::api::views::SuspensionView;
use crate::client::Client;
use crate::clock::Timestamp;
use crate::fleet::ProviderKind;
use crate::id::{FleetId, Mark, NodeId, WorkflowId};
use crate::provider::{self, MachineState, local::Local};
use crate::secrets::vault::Vault;
use crate::store::{
    FleetLock, Listed, LockHolder, ManagedBy, Node, NodeRole, NodeState, Reader, Store, Workspace, WorkspaceState,
};
use crate::workflow::flows::{Choice, playbooks};
use crate::{Error, Result};

/// A fleet at one moment.
#[derive(Debug, Serialize)]
pub(super) struct Overview {
    pub(super) fleet: String,
    pub(super) id: FleetId,
    pub(super) workspaces: Vec<WorkspaceRow>,
    /// Queued, under way, or parked.
    pub(super) workflows: Vec<Unfinished>,
    /// Whether this host holds local nodes to their sizes; none where none runs.
    pub(super) sizes_enforced: Option<bool>,
    /// Who changes the fleet right now.
    pub(super) in_use_by: Option<LockHolder>,
    /// Whether workers elsewhere go on with what is unfinished.
    #[serde(skip)]
    pub(super) has_workers: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct WorkspaceRow {
    pub(super) slug: String,
    pub(super) tier: String,
    /// Whether the fleet's files declare it, as they are now.
    pub(super) declared: bool,
    /// `files` or `api`; none where it was never brought up.
    pub(super) managed_by: Option<String>,
    /// Where its record stands; none where it was never brought up.
    pub(super) state: Option<String>,
    pub(super) node: Option<NodeRow>,
    /// Nodes of a rebuild, which serve nobody.
    pub(super) beside: Vec<NodeId>,
    pub(super) secrets_missing: Vec<String>,
    /// By whom it is suspended, and why.
    pub(super) suspension: Option<SuspensionView>,
}

#[derive(Debug, Serialize)]
pub(super) struct NodeRow {
    pub(super) id: NodeId,
    /// As recorded.
    pub(super) recorded: String,
    /// As its provider sees it.
    pub(super) machine: Seen,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) ssh_port: u16,
    pub(super) image: Option<String>,
    pub(super) playbooks: Playbooks,
    /// What was declared anew, and only a new node will have.
    pub(super) outdated: Vec<Outdated>,
    pub(super) agent_version: Option<String>,
    pub(super) updated_at: Timestamp,
}

/// A machine as its provider sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Seen {
    Running,
    Stopped,
    Missing,
    /// The provider could not be asked.
    Unknown,
}

/// How a node stands to what its playbooks say now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Playbooks {
    Converged,
    /// What is declared now is not what was applied last.
    Changed,
    /// Nothing was applied yet.
    Never,
    /// The playbooks have mistakes, or the workspace is not declared any more.
    Unknown,
}

#[derive(Debug, Serialize)]
pub(super) struct Unfinished {
    pub(super) id: WorkflowId,
    pub(super) kind: String,
    /// The workspace's slug.
    pub(super) workspace: Option<String>,
    pub(super) state: String,
    pub(super) error: Option<String>,
}

impl WorkspaceRow {
    /// Whether its node is stopped on purpose.
    pub(super) fn is_suspended(&self) -> bool {
        self.state.as_deref() == Some(WorkspaceState::Suspended.as_str())
    }

    /// One word for its node, where it has one.
    pub(super) fn word(&self) -> Option<&str> {
        let word = self.node.as_ref()?.word();
        // A node that is missing is missing, suspended or not.
        let told = self.is_suspended() && word == NodeState::Stopped.as_str();
        Some(if told { WorkspaceState::Suspended.as_str() } else { word })
    }
}

impl NodeRow {
    /// One word for both sides: what is recorded, unless the machine is not there to be so.
    pub(super) fn word(&self) -> &str {
        let comes_or_goes = [NodeState::Creating, NodeState::Deprovisioning].map(NodeState::as_str);
        match self.machine {
            // A machine that is not there yet, or no more, is as its record says.
            Seen::Missing if comes_or_goes.contains(&self.recorded.as_str()) => &self.recorded,
            Seen::Missing => "missing",
            Seen::Stopped => NodeState::Stopped.as_str(),
            Seen::Running | Seen::Unknown => &self.recorded,
        }
    }
}

/// Looks at everything. Warnings go to `warn`: they must not keep the rest from being seen.
///
/// # Errors
/// Fails where the store cannot be read.
pub(super) async fn look(env: &Env, place: &Place, store: &Store, warn: &dyn Fn(Error)) -> Result<Overview> {
    let mut reader = store.read().await?;
    let waiting = Vault::open(&place.dir)?.list()?;
    let recorded: BTreeMap<String, Workspace> = reader
        .workspaces(Listed::Live)
        .await?
        .into_iter()
        .map(|workspace| (workspace.slug.clone(), workspace))
        .collect();
    let declared = &place.desired.fleet.workspaces;
    let mut slugs: Vec<&String> = recorded.keys().chain(declared.keys()).collect();
    slugs.sort();
    slugs.dedup();
    let mut rows = Vec::new();
    let mut sizes_enforced = None;
    let mut images = Declared::new(env, &place.desired);
    for slug in slugs {
        let record = recorded.get(slug);
        let (node, beside): (Vec<Node>, Vec<Node>) = match record {
            Some(record) => reader.all_nodes_of(record.id).await?,
            None => Vec::new(),
        }
        .into_iter()
        .partition(|node| node.role == NodeRole::Serving);
        let node = node.into_iter().next();
        if let Some(node) = node.as_ref().filter(|node| node.kind == "local") {
            let local = Local::new(place.desired.fleet.id.clone(), &place.dir, &env.config)?;
            sizes_enforced = Some(local.enforces_sizes(&node.mark) && sizes_enforced.unwrap_or(true));
        }
        let node = match node {
            Some(node) => {
                let outdated = images.of(slug, &(&node).into(), warn);
                Some(NodeRow { outdated, ..row(env, place, slug, node, warn).await })
            }
            None => None,
        };
        let tier = declared.get(slug).map(|workspace| &workspace.tier).or(record.map(|record| &record.tier));
        rows.push(WorkspaceRow {
            slug: slug.clone(),
            tier: tier.cloned().unwrap_or_default(),
            declared: declared.contains_key(slug),
            managed_by: record.map(|record| record.managed_by.to_string()),
            state: record.map(|record| record.state.to_string()),
            node,
            beside: beside.into_iter().map(|node| node.id).collect(),
            secrets_missing: missing(place, &waiting, &mut reader, slug, record.map(|record| record.id)).await?,
            suspension: record.and_then(|record| record.suspension.clone()).map(SuspensionView::from),
        });
    }
    Ok(Overview {
        fleet: place.desired.fleet.name.clone(),
        id: place.desired.fleet.id.clone(),
        workspaces: rows,
        workflows: unfinished(&mut reader, &recorded).await?,
        sizes_enforced,
        in_use_by: FleetLock::holder(store.dir())?,
        has_workers: false,
    })
}

/// Looks through a control API. What only a host sees of its machines, and what only the files tell, stays unknown.
///
/// # Errors
/// Fails where the server cannot be asked.
pub(super) async fn look_from_afar(client: Client) -> Result<Overview> {
    let fleet: FleetView = client.get("/v1/fleet").await?;
    let plane = Plane::There(client);
    let mut workspaces = plane.workspaces().await?;
    let slugs: BTreeMap<String, String> =
        workspaces.iter().map(|workspace| (workspace.id.to_string(), workspace.slug.clone())).collect();
    let rows = workspaces.drain(..).map(|workspace| WorkspaceRow {
        declared: workspace.managed_by == ManagedBy::Files.as_str(),
        managed_by: Some(workspace.managed_by),
        slug: workspace.slug,
        tier: workspace.tier,
        state: Some(workspace.state),
        node: workspace.node.map(|node| NodeRow {
            id: node.id,
            recorded: node.state,
            machine: Seen::Unknown,
            addresses: node.addresses,
            ssh_port: node.ssh_port,
            image: node.image,
            playbooks: if node.playbook_digest.is_some() { Playbooks::Unknown } else { Playbooks::Never },
            outdated: Vec::new(),
            agent_version: node.agent_version,
            updated_at: node.updated_at,
        }),
        beside: Vec::new(),
        secrets_missing: Vec::new(),
        suspension: workspace.suspension,
    });
    let workflows = plane.workflows(false).await?.into_iter().map(|workflow| Unfinished {
        id: workflow.id,
        kind: workflow.kind,
        workspace: slugs.get(&workflow.subject).cloned(),
        state: workflow.state,
        error: workflow.error,
    });
    Ok(Overview {
        fleet: fleet.name,
        id: fleet.id,
        workspaces: rows.collect(),
        workflows: workflows.collect(),
        sizes_enforced: None,
        in_use_by: None,
        has_workers: true,
    })
}

async fn row(env: &Env, place: &Place, slug: &str, node: Node, warn: &dyn Fn(Error)) -> NodeRow {
    let machine = seen(env, place, &node.kind, &node.mark).await.unwrap_or_else(|error| {
        warn(error.context(format!("asking the provider {:?} about {slug:?}", node.provider)));
        Seen::Unknown
    });
    NodeRow {
        id: node.id,
        recorded: node.state.to_string(),
        machine,
        addresses: node.addresses,
        ssh_port: node.ssh_port,
        image: node.image,
        playbooks: standing(place, slug, node.playbook_digest.as_deref(), warn),
        outdated: Vec::new(),
        agent_version: node.agent_version,
        updated_at: node.updated_at,
    }
}

/// What the node's provider sees of it.
///
/// # Errors
/// Fails where the provider cannot be asked.
pub(super) async fn seen(env: &Env, place: &Place, kind: &str, mark: &Mark) -> Result<Seen> {
    if kind == ProviderKind::Ssh.to_string() {
        // There is nobody to be asked but the machine itself, and to look takes no login.
        return Ok(Seen::Unknown);
    }
    let provider = provider::of_kind(kind, &place.desired.fleet.id, &place.dir, &env.config)?;
    Ok(match provider.find(mark).await? {
        None => Seen::Missing,
        Some(machine) => match machine.state {
            MachineState::Running => Seen::Running,
            MachineState::Stopped => Seen::Stopped,
        },
    })
}

fn standing(place: &Place, slug: &str, applied: Option<&str>, warn: &dyn Fn(Error)) -> Playbooks {
    let Some(applied) = applied else { return Playbooks::Never };
    if place.desired.fleet.workspace(slug).is_none() {
        return Playbooks::Unknown;
    }
    match playbooks::plan(&place.desired, slug, &Choice::default()).map(|plan| plan.digest()) {
        Ok(digest) if digest == applied => Playbooks::Converged,
        Ok(_) => Playbooks::Changed,
        Err(error) => {
            warn(error.context(format!("compiling the playbooks of {slug:?}")));
            Playbooks::Unknown
        }
    }
}

async fn unfinished(reader: &mut Reader, workspaces: &BTreeMap<String, Workspace>) -> Result<Vec<Unfinished>> {
    let workflows = reader.workflows(Listed::Live).await?;
    let slug = |subject: &str| {
        workspaces
            .values()
            .find(|workspace| workspace.id.to_string() == subject)
            .map(|workspace| workspace.slug.clone())
    };
    Ok(workflows
        .into_iter()
        .map(|workflow| Unfinished {
            id: workflow.id,
            kind: workflow.kind,
            workspace: slug(&workflow.subject),
            state: workflow.state.to_string(),
            error: workflow.error,
        })
        .collect())
}
