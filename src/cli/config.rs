//! `stead config`: the fleet's files, checked; the control plane's settings, shown.

use serde::Serialize;

use super::control::ControlArgs;
use super::env::Env;
use super::mistakes;
use super::printer::{GOOD, table};
use crate::Result;
use crate::config::layers::Setting;
use crate::workflow::flows::Choice;

/// Checks the fleet's files, and shows the control plane's settings
#[derive(Debug, clap::Subcommand)]
pub(super) enum Config {
    Check(CheckArgs),
    Show(ShowArgs),
}

/// Shows the control plane's settings: the value of each, and where it came from. Passwords are masked
///
/// Each is what the file says (--config, STEAD_CONFIG, else /etc/stead/control.toml); before that goes the environment
/// (`STEAD_HTTP_LISTEN` for `http.listen`), and before that a flag. Changes nothing, and reaches nothing: for checking settings
/// before a service is started with them.
#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    control: ControlArgs,
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
    match command {
        Config::Check(CheckArgs {}) => check(env),
        Config::Show(args) => show(args, env),
    }
}

fn show(args: &ShowArgs, env: &Env) -> Result<()> {
    let settings = args.control.layers(&[])?.settings();
    let row = |setting: &Setting| {
        vec![setting.name.clone(), setting.value.clone().unwrap_or_else(|| "-".into()), setting.source.clone()]
    };
    let rows: Vec<Vec<String>> = settings.iter().map(row).collect();
    env.printer.data(&settings, table(&["SETTING", "VALUE", "FROM"], &rows))
}

fn check(env: &Env) -> Result<()> {
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
