//! `stead workspace list`.

use crate::Result;
use crate::cli::env::Env;
use crate::cli::printer::table;
use crate::cli::text::places;

/// Lists the workspaces that are recorded, declared or not
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
///
/// # Errors
/// Fails where they cannot be read.
pub(super) async fn run(Args {}: &Args, env: &Env) -> Result<()> {
    let workspaces = env.plane().await?.workspaces().await?;
    if workspaces.is_empty() {
        env.printer
            .say("There are no workspaces. `stead workspace create` makes one; `stead up` those that are declared.");
        return env.printer.data(&workspaces, "");
    }
    let cells = workspaces.iter().map(|workspace| {
        let addresses = workspace.node.as_ref().map(|node| places(&node.addresses, node.ssh_port));
        vec![
            workspace.slug.clone(),
            workspace.tier.clone(),
            workspace.state.clone(),
            addresses.filter(|addresses| !addresses.is_empty()).unwrap_or_else(|| "-".into()),
            workspace.managed_by.clone(),
            workspace.name.clone().unwrap_or_else(|| "-".into()),
        ]
    });
    let cells: Vec<_> = cells.collect();
    env.printer.data(&workspaces, table(&["WORKSPACE", "TIER", "STATE", "ADDRESSES", "MANAGED BY", "NAME"], &cells))
}
