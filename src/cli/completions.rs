//! `stead completions`: for shells.

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use super::env::Env;
use crate::Result;

/// Prints a shell's completions
///
/// For bash: `stead completions bash > /etc/bash_completion.d/stead`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

/// Runs the command.
///
/// # Errors
/// Fails where stdout does.
pub(super) fn run(args: &Args, env: &Env) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "stead", &mut script);
    let script = String::from_utf8_lossy(&script);
    env.printer.data(&script, &script)
}
