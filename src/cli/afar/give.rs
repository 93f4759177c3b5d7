//! The declared secrets of a workspace whose node is being made: their values lie in the operators' vault here, and are given
//! as soon as there is a node that they can be sealed for.

use std::time::Duration;

use serde::Serialize;

use crate::api::views::SecretView;
use crate::cli::env::Place;
use crate::client::Client;
use crate::id::WorkspaceId;
use crate::secrets::vault::{Entry, Vault};
use crate::{Error, Kind, Result};

/// How often the server is asked whether there is a node.
const POLL: Duration = Duration::from_millis(500);

#[derive(Serialize)]
struct Value<'a> {
    value: &'a str,
}

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

/// Gives the values, each as soon as the server takes it.
pub(super) async fn give(
    client: &Client,
    vault: &Vault,
    slug: &str,
    id: WorkspaceId,
    wanting: &[String],
) -> Result<()> {
    for name in wanting {
        let value =
            vault.get(slug, name)?.ok_or_else(|| Error::failed(format!("{slug}/{name} is gone from the vault")))?;
        let text = std::str::from_utf8(value.expose()).map_err(|_| {
            Error::input(format!("the value of {slug}/{name} is not UTF-8")).hint("encode it, as base64")
        })?;
        let path = format!("/v1/workspaces/{id}/secrets/{name}");
        loop {
            match client.put::<serde_json::Value>(&path, &Value { value: text }).await {
                // There is no node yet.
                Err(error) if error.kind() == Kind::Conflict => tokio::time::sleep(POLL).await,
                given => break given.map(drop)?,
            }
        }
    }
    Ok(())
}
