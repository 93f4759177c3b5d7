//! `stead playbook`: playbooks themselves.

mod test;

use super::env::Env;
use crate::Result;

/// Tests playbooks on nodes of their own
#[derive(Debug, clap::Subcommand)]
pub(super) enum Playbook {
    Test(test::Args),
}

/// Runs the command.
///
/// # Errors
/// Fails as the subcommands do.
pub(super) async fn run(command: &Playbook, env: &Env) -> Result<()> {
    match command {
        Playbook::Test(args) => test::run(args, env).await,
    }
}
