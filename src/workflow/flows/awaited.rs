//! Secrets that are declared in the files, where no vault is at hand: an unattended program has the node made, and whoever
//! asked for it gives the values as soon as there is a node that they can be sealed for.

use std::time::Duration;

use tokio::time::Instant;

use super::secrets::{hand_over, is_held};
use super::{Params, Platform, node};
use crate::Error;
use crate::store::Node;
use crate::workflow::{StepCx, StepError};

/// How long a value is waited for: the command that asked for the node has it, and people may have to type it.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked for.
const POLL: Duration = Duration::from_millis(500);

/// Brings the node a declared secret, once its value was given.
///
/// # Errors
/// Fails where nobody gives it in time, and where the node cannot be reached.
pub(super) async fn bring(
    cx: &StepCx<'_, Platform>,
    params: &Params,
    node: &Node,
    name: &str,
) -> Result<(), StepError> {
    let begun = Instant::now();
    cx.progress(format!("waiting for the value of {name}"));
    loop {
        let mut reader = cx.store().read().await?;
        let record = reader.secret(params.workspace, name).await?;
        if is_held(record.as_ref(), node) {
            return Ok(());
        }
        let now = reader.now();
        let waiting = reader.envelopes(node.id, now).await?;
        drop(reader);
        if let Some(record) = record.filter(|record| !record.is_removed()) {
            let version = record.version;
            let mut of_it = waiting.into_iter().filter(|given| given.name == name && given.version == version);
            if let Some(given) = of_it.next() {
                let mut session = node::session(cx, node).await?;
                hand_over(cx, params, node, record, given.envelope, &mut session).await?;
                cx.context().keep(node.id, cx.fence(), session);
                return Ok(());
            }
        }
        if begun.elapsed() > PATIENCE {
            let slug = &params.slug;
            let error =
                Error::failed(format!("workspace {slug:?} declares the secret {name}, and nobody gave its value"));
            let hint = format!(
                "`stead up {slug}` gives it, from the folder whose vault has it: `stead secret set {slug} {name}`"
            );
            return Err(error.hint(hint).into());
        }
        tokio::time::sleep(POLL).await;
    }
}
