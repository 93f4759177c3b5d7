//! Work that requests begin: what it is given, and what is shown of it.

use serde::Serialize;
use serde_json::Value;

use super::views::WorkflowView;
use crate::id::WorkflowId;
use crate::store::Tx;
use crate::{Error, Result};

/// What a workflow is given, as its record has it.
pub(super) fn to_value(params: &impl Serialize) -> Result<Value> {
    serde_json::to_value(params).map_err(|error| Error::failed("a workflow's input").because(error))
}

/// A workflow that was just enqueued, or found.
pub(super) async fn enqueued(tx: &mut Tx, id: WorkflowId) -> Result<WorkflowView> {
    let workflow = tx.workflow(id).await?.ok_or_else(|| Error::failed("the workflow was just recorded"))?;
    Ok(WorkflowView::new(workflow, Vec::new()))
}
