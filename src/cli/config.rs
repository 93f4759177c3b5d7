//! `stead config`: the fleet's files, checked.

use serde::Serialize;

use super::env::Env;
use super::mistakes;
use super::printer::GOOD;
use crate::Result;
use crate::workflow::flows::Choice;

/// Checks the fleet's files
#[derive(Debug, clap::Subcommand)]
pub(super) enum Config {
    Check(CheckArgs),
}

/// Reads all of the fleet's files, compiles every workspace's playbooks and every image's, and tells all mistakes
///
/// Changes nothing, needs no root and no store: for an editor's or a repository's hook.
#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {}

#[derive(Serialize)]
struct Checked {
    fleet: String,
    providers: usize,
    tiers: usize,
    workspaces: usize,
    images: usize,
    /// Tasks and blocks over all workspaces' plans.
    tasks: usize,
}

/// Runs the command.
///
/// # Errors
/// Fails with every mistake in the files.
pub(super) fn run(command: &Config, env: &Env) -> Result<()> {
    let Config::Check(CheckArgs {}) = command;
    let desired = env.place()?.desired;
    let fleet = &desired.fleet;
    let mistakes::Sound { tasks, images } =
        mistakes::look(&env.printer, &desired, fleet.workspaces.keys(), &Choice::default(), fleet.tiers.values())?;
    let checked = Checked {
        fleet: fleet.name.clone(),
        providers: fleet.providers.len(),
        tiers: fleet.tiers.len(),
        workspaces: fleet.workspaces.len(),
        images: images.len(),
        tasks,
    };
    let Checked { providers, tiers, workspaces, images, tasks, .. } = &checked;
    let text = format!(
        "{GOOD}ok{GOOD:#}  {}: providers {providers}, tiers {tiers}, workspaces {workspaces}, images {images}, tasks {tasks}",
        checked.fleet
    );
    env.printer.data(&checked, text)
}
