//! The audit of a root that does not run yet: what fails here need not be booted.

use camino::{Utf8Path, Utf8PathBuf};

use super::Inputs;
use crate::image::apply;
use crate::image::stages::Building;
use crate::image::stop::Stop;
use crate::wire::plan::{Status, TaskEvent};
use crate::{Error, Result};

/// Raised when another thing is looked at.
pub(super) const RULES: u32 = 1;

/// Holds the root against the playbooks that were applied to it: the same plan, told and not applied, must have nothing to do.
/// The report is the stage's content.
///
/// # Errors
/// Fails where a task would change something again, and names it.
pub(super) fn audit(
    program: &Utf8Path,
    inputs: &Inputs,
    below: &[Utf8PathBuf],
    building: &Building,
    stop: &Stop,
) -> Result<()> {
    let mut pending = Vec::new();
    let mut on_event = |event: &TaskEvent| {
        // A command that is not told when it has nothing to do would run each time: nothing can be said of it.
        if event.status == Status::Changed && event.kind != "command" {
            pending.push(format!("{}: {}: {}", event.origin, event.name, event.message.replace('\n', "; ")));
        }
    };
    let plan = (&inputs.plan, &inputs.files, true);
    let summary = apply::apply(program, &inputs.programs.node, plan, below, building, stop, &mut on_event)?;
    if !pending.is_empty() {
        return Err(Error::failed("the root is not as its playbooks mean it to be: they would change it again")
            .because(pending.join("\n"))
            .hint("a task that changes something each time, or two that undo each other, are the usual cause"));
    }
    // Whatever the agent left of itself is none of the root's.
    fs_err::remove_dir_all(building.root())?;
    fs_err::create_dir(building.root())?;
    let report =
        serde_json::to_vec_pretty(&summary).map_err(|error| Error::failed("writing the report").because(error))?;
    Ok(fs_err::write(building.root().join("report.json"), report)?)
}
