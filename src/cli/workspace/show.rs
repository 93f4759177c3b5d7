//! `stead workspace show`.

use crate::Result;
use crate::cli::env::Env;
use crate::cli::text::{places, time};
use crate::store::Suspender;

/// Shows all that is recorded of a workspace
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The workspace
    workspace: String,
}

/// Runs the command.
///
/// # Errors
/// Fails where there is no such workspace.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let workspace = env.plane().await?.named(&args.workspace).await?;
    let none = || "none".to_owned();
    let node = workspace.node.as_ref();
    let suspension = workspace.suspension.as_ref().map(|suspension| {
        let because = suspension.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let by = if suspension.by == Suspender::Operator.as_str() { "an operator" } else { "the customer" };
        ("suspended", format!("by {by} since {} UTC{because}", time(suspension.since)))
    });
    let lines = [
        ("workspace", workspace.slug.clone()),
        ("id", workspace.id.to_string()),
        ("name", workspace.name.clone().unwrap_or_else(none)),
        ("tier", workspace.tier.clone()),
        ("state", workspace.state.clone()),
        ("managed by", workspace.managed_by.clone()),
        ("node", node.map_or_else(none, |node| format!("{} ({})", node.id, node.state))),
        ("addresses", node.map_or_else(none, |node| places(&node.addresses, node.ssh_port))),
        ("made", format!("{} UTC", time(workspace.created_at))),
        ("changed", format!("{} UTC", time(workspace.updated_at))),
    ];
    let text: String = lines.iter().chain(&suspension).map(|(name, value)| format!("{name:<10} {value}\n")).collect();
    env.printer.data(&workspace, text)
}
