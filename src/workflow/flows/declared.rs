//! What is declared for a workflow's workspace: by the fleet's files, or, for one that came through the API, by its tier alone.

use std::sync::Arc;

use super::{Desired, Params, Platform};
use crate::fleet::{ProviderKind, Tier, Vars, Workspace};
use crate::store::SecretRecord;
use crate::workflow::StepCx;
use crate::{Error, Result};

/// What is declared for a workspace at a revision.
pub(super) struct Declared {
    /// The revision.
    pub(super) desired: Arc<Desired>,
    /// The workspace.
    pub(super) workspace: Workspace,
}

impl Declared {
    /// What is declared for the workflow's workspace. The secrets of one that came through the API are those that its node
    /// holds and nobody has removed.
    pub(super) async fn of(cx: &StepCx<'_, Platform>, params: &Params) -> Result<Self> {
        let desired = cx.context().desired(cx.store(), cx.revision()).await?;
        let Some(tier) = &params.tier else {
            let workspace = desired.workspace(&params.slug)?.0.clone();
            return Ok(Self { desired, workspace });
        };
        let given = cx.store().read().await?.secrets(params.workspace).await?;
        // What is lost with a node is on none.
        let given = given.into_iter().filter(|_| !params.lose_data);
        let secrets = given.filter(SecretRecord::is_in_use).map(|secret| secret.name).collect();
        let workspace = desired.workspace_in(&params.slug, tier, secrets)?;
        Ok(Self { desired, workspace })
    }

    /// Its tier.
    pub(super) fn tier(&self) -> Result<&Tier> {
        let tier = self.desired.fleet.tier(&self.workspace);
        tier.ok_or_else(|| Error::failed(format!("no tier is called {:?}", self.workspace.tier)))
    }
}

impl Desired {
    /// A workspace that no file declares: as its tier is, without anything of its own.
    ///
    /// # Errors
    /// Fails where the revision has no such tier, or nodes of the tier's provider are machines that people bring.
    pub fn workspace_in(&self, slug: &str, tier: &str, secrets: Vec<String>) -> Result<Workspace> {
        let found = self.fleet.tiers.get(tier).ok_or_else(|| {
            let names: Vec<&str> = self.fleet.tiers.keys().map(String::as_str).collect();
            Error::input(format!("there is no tier {tier:?}")).hint(format!("there are: {}", names.join(", ")))
        })?;
        Ok(Workspace {
            slug: slug.to_owned(),
            tier: tier.to_owned(),
            provider: found.provider.clone(),
            vars: Vars::new(),
            secrets,
            machine: None,
        })
    }

    /// The kind of a declared workspace's provider, where this version can make its node.
    ///
    /// # Errors
    /// Fails where it cannot, and where nothing declares the workspace.
    pub fn drivable(&self, slug: &str) -> Result<ProviderKind> {
        let (workspace, _) = self.workspace(slug).map_err(|error| Error::input(error.to_string()))?;
        match self.fleet.provider(workspace).map(|provider| provider.kind) {
            Some(kind @ (ProviderKind::Local | ProviderKind::Ssh)) => Ok(kind),
            Some(other) => Err(Error::input(format!(
                "workspace {slug:?} lives at a provider of kind {:?}, which this version of stead cannot drive yet",
                other.to_string()
            ))
            .hint("name the other workspaces: `stead up WORKSPACE…`")),
            None => Err(Error::input(format!("nothing declares the provider of workspace {slug:?}"))),
        }
    }

    /// The kind of provider where the node of a workspace that nobody declares is made.
    ///
    /// # Errors
    /// Fails where the files declare a workspace of that slug, the revision has no such tier, or nodes of the tier's provider are
    /// machines that people bring.
    pub fn made_at(&self, slug: &str, tier: &str) -> Result<ProviderKind> {
        if self.fleet.workspace(slug).is_some() {
            return Err(Error::conflict(format!("the fleet's files declare a workspace {slug:?}"))
                .hint("choose another slug: files and API share one namespace"));
        }
        let workspace = self.workspace_in(slug, tier, Vec::new())?;
        match self.fleet.provider(&workspace).map(|provider| provider.kind) {
            Some(ProviderKind::Ssh) | None => {
                Err(Error::input(format!("nodes of the tier {tier:?} are machines that people bring"))
                    .hint("declare such a workspace in the fleet's files"))
            }
            Some(kind) => Ok(kind),
        }
    }
}
