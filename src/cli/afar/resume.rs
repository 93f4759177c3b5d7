//! `stead workspace resume` through a control plane: a worker there starts the node, and whoever has the fleet's files gives the
//! secrets that they declare and the node does not hold.

use super::give;
use crate::Result;
use crate::api::views::WorkspaceView;
use crate::cli::env::{Env, Place};
use crate::cli::follow::{Begun, follow};
use crate::cli::missing;
use crate::client::Client;
use crate::secrets::vault::Vault;
use crate::store::ManagedBy;

/// Resumes the workspace, and waits until it is healthy.
pub(in crate::cli) async fn resume(env: &Env, client: &Client, workspace: &WorkspaceView) -> Result<()> {
    let (slug, declares) = (&workspace.slug, place_of(env, workspace)?);
    let vault = declares.as_ref().map(|place| Vault::open(&place.dir)).transpose()?;
    if let (Some(place), Some(vault)) = (&declares, &vault) {
        let wanting = give::wanting(client, place, slug, Some(workspace.id)).await?;
        let unknown = give::unknown(&vault.list()?, slug, &wanting);
        if !unknown.is_empty() {
            return Err(missing::error(&unknown));
        }
    }
    let path = format!("/v1/workspaces/{}/resume", workspace.id);
    let begun: Begun = client.create(&path, &serde_json::json!({})).await?;
    let watching = follow(env, client, slug, begun.workflow.id);
    let (Some(place), Some(vault)) = (&declares, &vault) else { return watching.await };
    tokio::select! {
        ended = watching => ended,
        failed = give::give(client, place, vault, std::slice::from_ref(slug)) => match failed? {},
    }
}

/// The folder here, where its files declare the workspace, and the workspace is suspended: of another one the server says what is
/// wrong.
fn place_of(env: &Env, workspace: &WorkspaceView) -> Result<Option<Place>> {
    let is_declared = workspace.managed_by == ManagedBy::Files.as_str();
    if !is_declared || workspace.suspension.is_none() || env.fleet_dir().is_err() {
        return Ok(None);
    }
    Ok(Some(env.place()?).filter(|place| place.desired.fleet.workspace(&workspace.slug).is_some()))
}
