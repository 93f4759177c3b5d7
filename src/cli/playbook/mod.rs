//! `stead playbook`: playbooks themselves.

mod import;
mod test;

use super::env::Env;
use crate::Result;

/// Tests playbooks on nodes of their own, and takes over those of other programs
#[derive(Debug, clap::Subcommand)]
pub(super) enum Playbook {
    Test(test::Args),
    #[command(subcommand)]
    Import(import::Import),
}

/// Runs the command.
///
/// # Errors
/// Fails as the subcommands do.
pub(super) async fn run(command: &Playbook, env: &Env) -> Result<()> {
    match command {
        Playbook::Test(args) => test::run(args, env).await,
        Playbook::Import(command) => import::run(command, env),
    }
}
