//! `stead workspace`: customers' tenancies that the fleet's files do not declare.

mod create;
mod delete;
mod list;
mod show;

use super::env::Env;
use crate::Result;

/// Makes and ends workspaces that the fleet's files do not declare, and shows all
#[derive(Debug, clap::Subcommand)]
pub(super) enum Workspace {
    List(list::Args),
    Show(show::Args),
    Create(create::Args),
    Delete(delete::Args),
}

/// Runs the command.
///
/// # Errors
/// Fails as the subcommand does.
pub(super) async fn run(command: &Workspace, env: &Env) -> Result<()> {
    match command {
        Workspace::List(args) => list::run(args, env).await,
        Workspace::Show(args) => show::run(args, env).await,
        Workspace::Create(args) => create::run(args, env).await,
        Workspace::Delete(args) => delete::run(args, env).await,
    }
}
