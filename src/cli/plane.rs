//! Where a command looks: into the fleet's store here, or, where one is logged in, through the control API. Either way it sees
//! the same things in the same form, so that what it prints does not depend on where it looks.

use std::collections::BTreeMap;

use super::env::{Env, Place};
use super::overview::{self, Seen};
use crate::api::views::{EntryView, NodeView, WorkflowView, WorkspaceView};
use crate::audit;
use crate::client::Client;
use crate::id::WorkflowId;
use crate::store::{Listed, Reader, Store, WorkflowState};
use crate::{Error, Result};

/// The most that is asked of a list which has no end of its own.
const MANY: usize = 10_000;

/// Where a command looks.
pub(super) enum Plane {
    /// Into the fleet's own store.
    Here { place: Box<Place>, store: Store },
    /// Through a control API.
    There(Client),
}

impl Env {
    /// Where the command is to look.
    pub(super) async fn plane(&self) -> Result<Plane> {
        match self.remote()? {
            Some(client) => Ok(Plane::There(client)),
            None => {
                let place = Box::new(self.place()?);
                let store = self.store(&place).await?;
                Ok(Plane::Here { place, store })
            }
        }
    }
}

impl Plane {
    /// The workflows that are not over, or all there were, the oldest first.
    pub(super) async fn workflows(&self, all: bool) -> Result<Vec<WorkflowView>> {
        let mut workflows = match self {
            Self::Here { store, .. } => {
                let listed = if all { Listed::All } else { Listed::Live };
                let records = store.read().await?.workflows(listed).await?;
                records.into_iter().map(|record| WorkflowView::new(record, Vec::new())).collect()
            }
            Self::There(client) if all => client.list("/v1/workflows", &[], MANY).await?,
            Self::There(client) => {
                let mut workflows: Vec<WorkflowView> = Vec::new();
                let is_over =
                    |state: &&WorkflowState| matches!(state, WorkflowState::Succeeded | WorkflowState::Failed);
                for state in WorkflowState::ALL.iter().filter(|state| !is_over(state)) {
                    workflows.extend(client.list("/v1/workflows", &[("state", state.as_str())], MANY).await?);
                }
                workflows
            }
        };
        workflows.sort_by_key(|workflow: &WorkflowView| workflow.id);
        // One may have gone from one state to the next while they were asked for.
        workflows.dedup_by_key(|workflow| workflow.id);
        Ok(workflows)
    }

    /// A workflow with its steps.
    pub(super) async fn workflow(&self, id: WorkflowId) -> Result<Option<WorkflowView>> {
        match self {
            Self::Here { store, .. } => {
                let mut reader = store.read().await?;
                let Some(record) = reader.workflow(id).await? else { return Ok(None) };
                let steps = reader.steps(id).await?;
                Ok(Some(WorkflowView::new(record, steps)))
            }
            Self::There(client) => client.find(&format!("/v1/workflows/{id}")).await,
        }
    }

    /// What workflows are about, by their subjects: a workspace's slug where it is one.
    pub(super) async fn about<'a>(&self, subjects: impl Iterator<Item = &'a str>) -> Result<BTreeMap<String, String>> {
        let mut names = BTreeMap::new();
        for subject in subjects {
            if !names.contains_key(subject) {
                names.insert(subject.to_owned(), self.name_of(subject).await?);
            }
        }
        Ok(names)
    }

    /// As [`about`](Self::about), of one.
    pub(super) async fn name_of(&self, subject: &str) -> Result<String> {
        let Ok(id) = subject.parse() else { return Ok(subject.to_owned()) };
        let slug = match self {
            Self::Here { store, .. } => store.read().await?.workspace(id).await?.map(|workspace| workspace.slug),
            Self::There(client) => {
                let workspace: Option<WorkspaceView> = client.find(&format!("/v1/workspaces/{id}")).await?;
                workspace.map(|workspace| workspace.slug)
            }
        };
        Ok(slug.unwrap_or_else(|| subject.to_owned()))
    }

    /// The workspaces that are not gone, with their nodes, in the order of their slugs.
    pub(super) async fn workspaces(&self) -> Result<Vec<WorkspaceView>> {
        let mut workspaces = match self {
            Self::Here { store, .. } => {
                let mut reader = store.read().await?;
                let records = reader.workspaces(Listed::Live).await?;
                let ids: Vec<_> = records.iter().map(|workspace| workspace.id).collect();
                let mut nodes = reader.nodes_of(&ids).await?;
                let view = |workspace: crate::store::Workspace| {
                    let node = nodes.remove(&workspace.id);
                    WorkspaceView::new(workspace, node)
                };
                records.into_iter().map(view).collect()
            }
            Self::There(client) => client.list("/v1/workspaces", &[], MANY).await?,
        };
        workspaces.sort_by(|a: &WorkspaceView, b| a.slug.cmp(&b.slug));
        Ok(workspaces)
    }

    /// The workspace with this slug, with its node.
    pub(super) async fn workspace(&self, slug: &str) -> Result<Option<WorkspaceView>> {
        match self {
            Self::Here { store, .. } => {
                let mut reader = store.read().await?;
                let Some(workspace) = reader.workspace_by_slug(slug).await? else { return Ok(None) };
                let node = reader.node_of(workspace.id).await?;
                Ok(Some(WorkspaceView::new(workspace, node)))
            }
            Self::There(client) => Ok(client.list("/v1/workspaces", &[("slug", slug)], 1).await?.pop()),
        }
    }

    /// As [`workspace`](Self::workspace), where there has to be one.
    pub(super) async fn named(&self, slug: &str) -> Result<WorkspaceView> {
        self.workspace(slug).await?.ok_or_else(|| {
            Error::input(format!("there is no workspace {slug:?}"))
                .hint("`stead workspace list` lists those that there are")
        })
    }

    /// What the provider sees of a node. From elsewhere only whoever stands before it can tell.
    pub(super) async fn seen(&self, env: &Env, node: &NodeView) -> Result<Seen> {
        match self {
            Self::Here { place, .. } => overview::seen(env, place, &node.kind, &node.mark).await,
            Self::There(_) => Ok(Seen::Unknown),
        }
    }

    /// The audit log's last `limit` entries, the oldest first; `target` is a slug or an id.
    pub(super) async fn entries(&self, target: Option<&str>, limit: u32) -> Result<Vec<EntryView>> {
        let most = limit as usize;
        let targets = match target {
            None => vec![None],
            Some(word) => self.targets(word).await?.into_iter().map(Some).collect(),
        };
        let several = targets.len() > 1;
        let mut entries: Vec<EntryView> = Vec::new();
        for target in targets {
            match self {
                Self::Here { store, .. } => {
                    let rows = audit::list(store, target.as_deref(), limit).await?;
                    entries.extend(rows.into_iter().map(EntryView::from));
                }
                Self::There(client) => {
                    let filter = target.as_deref().map(|target| ("target", target));
                    let mut latest: Vec<EntryView> = client.list("/v1/audit", filter.as_slice(), most).await?;
                    latest.reverse();
                    entries.extend(latest);
                }
            }
        }
        if several {
            entries.sort_by_key(|entry| (entry.at, entry.id));
        }
        entries.drain(..entries.len().saturating_sub(most));
        Ok(entries)
    }

    /// What a word on the command line stands for: a slug stands for its workspaces, live and gone, and for their nodes.
    async fn targets(&self, word: &str) -> Result<Vec<String>> {
        let mut targets = vec![word.to_owned(), format!("workspace/{word}")];
        match self {
            Self::Here { store, .. } => targets.extend(recorded_targets(&mut store.read().await?, word).await?),
            Self::There(client) => {
                for filter in [&[("slug", word)][..], &[("slug", word), ("state", "gone")]] {
                    let workspaces: Vec<WorkspaceView> = client.list("/v1/workspaces", filter, MANY).await?;
                    for workspace in workspaces {
                        targets.push(workspace.id.to_string());
                        targets.extend(workspace.node.map(|node| node.id.to_string()));
                    }
                }
            }
        }
        Ok(targets)
    }
}

async fn recorded_targets(reader: &mut Reader, slug: &str) -> Result<Vec<String>> {
    let mut targets = Vec::new();
    let nodes = reader.nodes(Listed::All).await?;
    for workspace in reader.workspaces(Listed::All).await?.into_iter().filter(|workspace| workspace.slug == slug) {
        targets.push(workspace.id.to_string());
        targets.extend(nodes.iter().filter(|node| node.workspace_id == workspace.id).map(|node| node.id.to_string()));
    }
    Ok(targets)
}
