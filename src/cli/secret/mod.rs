//! `stead secret`: values for nodes. No command prints one.

pub(super) mod afar;
mod list;
mod rm;
mod set;
mod value;

use super::env::Env;
use crate::Result;

/// Gives secrets to nodes; no command prints a value
#[derive(Debug, clap::Subcommand)]
pub(super) enum Secret {
    Set(set::Args),
    List(list::Args),
    Rm(rm::Args),
}

/// Runs the command.
///
/// # Errors
/// Fails as the subcommand does.
pub(super) async fn run(secret: &Secret, env: &Env) -> Result<()> {
    match secret {
        Secret::Set(args) => set::run(args, env).await,
        Secret::List(args) => list::run(args, env).await,
        Secret::Rm(args) => rm::run(args, env).await,
    }
}
