//! `stead workspace`: customers' tenancies.

mod create;
mod delete;
mod list;
mod resume;
mod show;
mod suspend;

use super::env::Env;
use crate::Result;

/// Makes and ends workspaces that the fleet's files do not declare; shows, suspends and resumes any
#[derive(Debug, clap::Subcommand)]
pub(super) enum Workspace {
    List(list::Args),
    Show(show::Args),
    Create(create::Args),
    Delete(delete::Args),
    Suspend(suspend::Args),
    Resume(resume::Args),
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
        Workspace::Suspend(args) => suspend::run(args, env).await,
        Workspace::Resume(args) => resume::run(args, env).await,
    }
}
