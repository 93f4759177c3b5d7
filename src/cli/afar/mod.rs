//! Commands on workspaces that a control plane holds, where the fleet's files are here.

pub(super) mod converge;
pub(super) mod down;
mod give;
mod publish;
pub(super) mod resume;
pub(super) mod up;

use std::collections::BTreeMap;

use futures::{StreamExt, stream};

use super::plane::Plane;
use crate::api::views::WorkspaceView;
use crate::client::Client;
use crate::store::{Suspender, WorkspaceState};
use crate::workflow::flows::suspend;
use crate::{Error, Result};

/// How many workspaces are watched side by side: as many event streams as the server gives one caller.
const SIDE_BY_SIDE: usize = 16;

/// The workspaces that the server has, by slug.
async fn known(client: &Client) -> Result<BTreeMap<String, WorkspaceView>> {
    let workspaces = Plane::There(client.clone()).workspaces().await?;
    Ok(workspaces.into_iter().map(|workspace| (workspace.slug.clone(), workspace)).collect())
}

/// Why a workspace that is suspended is refused, or left out: none where it is not. As behind "suspended", and as an error.
fn suspended(workspace: &WorkspaceView) -> Option<(String, Error)> {
    let suspension = workspace.suspension.as_ref();
    let suspension = suspension.filter(|_| workspace.state == WorkspaceState::Suspended.as_str())?;
    let because = suspend::because_of(suspension.reason.as_deref());
    let by_customer = suspension.by == Suspender::Customer.as_str();
    let refusal = suspend::refusal(&workspace.slug, by_customer, &because);
    Some((because, refusal))
}

/// Waits for several, side by side; how each ended, in their order.
pub(super) async fn side_by_side<T, F: Future<Output = Result<T>>>(
    jobs: impl IntoIterator<Item = F>,
) -> Vec<Result<T>> {
    stream::iter(jobs).buffered(SIDE_BY_SIDE).collect().await
}
