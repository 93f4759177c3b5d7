//! Declared secrets that nobody has given a value for.

use super::env::Place;
use crate::id::WorkspaceId;
use crate::secrets::vault::Entry;
use crate::store::{Reader, SecretState};
use crate::{Error, Result};

/// The names that a workspace declares and that are neither in the vault (`waiting`) nor on its node.
///
/// # Errors
/// Fails where the store does.
pub(super) async fn missing(
    place: &Place,
    waiting: &[Entry],
    reader: &mut Reader,
    slug: &str,
    workspace: Option<WorkspaceId>,
) -> Result<Vec<String>> {
    let Some(declared) = place.desired.fleet.workspace(slug) else { return Ok(Vec::new()) };
    let records = match workspace {
        Some(id) => reader.secrets(id).await?,
        None => Vec::new(),
    };
    let in_vault = |name: &str| waiting.iter().any(|entry| entry.workspace == slug && entry.name == name);
    let delivered =
        |name: &str| records.iter().any(|record| record.name == name && record.state == SecretState::Delivered);
    Ok(declared.secrets.iter().filter(|name| !in_vault(name) && !delivered(name)).cloned().collect())
}

/// The error that names them all, with the command that gives each.
pub(super) fn error(missing: &[(String, String)]) -> Error {
    let list = missing.iter().map(|(slug, name)| format!("{slug}/{name}")).collect::<Vec<_>>().join(", ");
    let error = Error::input(format!("nobody has given a value for: {list}"));
    missing
        .iter()
        .fold(error, |error, (slug, name)| error.hint(format!("give it on stdin: `stead secret set {slug} {name}`")))
}
