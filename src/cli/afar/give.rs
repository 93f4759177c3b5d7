//! The declared secrets of a workspace whose node is being made or resumed: their values lie in the operators' vault here, and are given
//! as soon as there is a node that they can be sealed for.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use super::known;
use crate::api::views::{SecretView, WorkspaceView};
use crate::cli::env::Place;
use crate::cli::secret::afar;
use crate::client::Client;
use crate::id::{NodeId, WorkspaceId};
use crate::secrets::vault::{Entry, Vault};
use crate::store::WorkspaceState;
use crate::{Error, Kind, Result};

/// How often it is looked for nodes that want secrets.
const POLL: Duration = Duration::from_secs(1);

/// The declared secrets of a workspace that its node does not hold; `id` is none where the server does not know it yet.
pub(super) async fn wanting(
    client: &Client,
    place: &Place,
    slug: &str,
    id: Option<WorkspaceId>,
) -> Result<Vec<String>> {
    let declared = place.desired.fleet.workspace(slug).map(|workspace| workspace.secrets.clone()).unwrap_or_default();
    let (Some(id), false) = (id, declared.is_empty()) else { return Ok(declared) };
    let known: Vec<SecretView> = client.list(&format!("/v1/workspaces/{id}/secrets"), &[], usize::MAX).await?;
    let held = |name: &String| known.iter().any(|known| known.name == *name && known.state == "delivered");
    Ok(declared.into_iter().filter(|name| !held(name)).collect())
}

/// Those of the secrets whose value is in nobody's vault.
pub(super) fn unknown(vault: &[Entry], slug: &str, wanting: &[String]) -> Vec<(String, String)> {
    let in_vault = |name: &String| vault.iter().any(|entry| entry.workspace == slug && entry.name == *name);
    wanting.iter().filter(|name| !in_vault(name)).map(|name| (slug.to_owned(), name.clone())).collect()
}

/// Gives every node of these workspaces the secrets that it wants, as soon as they can be sealed for it; for as long as
/// somebody waits for the nodes. A server that is busy, or away for a moment, is asked again.
///
/// # Errors
/// Fails where the vault does not give a value, or the server takes none of it.
pub(super) async fn give(client: &Client, place: &Place, vault: &Vault, slugs: &[String]) -> Result<Infallible> {
    let declares =
        |slug: &&String| place.desired.fleet.workspace(slug).is_some_and(|workspace| !workspace.secrets.is_empty());
    let slugs: Vec<&String> = slugs.iter().filter(declares).collect();
    if slugs.is_empty() {
        return std::future::pending().await;
    }
    // A node that was made anew wants them again.
    let mut settled: BTreeSet<NodeId> = BTreeSet::new();
    loop {
        match round(client, place, vault, &slugs, &mut settled).await {
            Err(error) if is_passing(&error) => tracing::debug!(error = error.one_line(), "giving secrets"),
            done => done?,
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn round(
    client: &Client,
    place: &Place,
    vault: &Vault,
    slugs: &[&String],
    settled: &mut BTreeSet<NodeId>,
) -> Result<()> {
    let known = known(client).await?;
    for slug in slugs {
        let Some(workspace) = known.get(*slug) else { continue };
        let Some(node) = sealable(workspace).filter(|node| !settled.contains(node)) else { continue };
        match all(client, place, vault, workspace).await {
            // Its node is not the one that it was, or about to go; the others are not to wait for that.
            Err(error) if error.kind() == Kind::Conflict => continue,
            given => given?,
        }
        settled.insert(node);
    }
    Ok(())
}

/// The workspace's node, where secrets can be sealed for it.
fn sealable(workspace: &WorkspaceView) -> Option<NodeId> {
    // Of one that is suspended the server takes them while it is resumed.
    let states =
        [WorkspaceState::Provisioning, WorkspaceState::Ready, WorkspaceState::Degraded, WorkspaceState::Suspended];
    let is_there = states.iter().any(|state| state.as_str() == workspace.state);
    let node = workspace.node.as_ref().filter(|node| is_there && node.verified && node.recipient.is_some());
    node.map(|node| node.id)
}

/// Gives a workspace's node all that it wants.
async fn all(client: &Client, place: &Place, vault: &Vault, workspace: &WorkspaceView) -> Result<()> {
    let slug = workspace.slug.as_str();
    for name in wanting(client, place, slug, Some(workspace.id)).await? {
        let value = vault.get(slug, &name)?;
        let value = value.ok_or_else(|| Error::failed(format!("{slug}/{name} is gone from the vault")))?;
        afar::put(client, workspace.id, &name, &value)
            .await
            .map_err(|error| error.context(format!("workspace {slug:?}")))?;
    }
    Ok(())
}

/// Whether the same again may succeed: the server is busy or away.
fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), Kind::Unavailable | Kind::Unreachable)
}
