//! `stead migrate`: a PostgreSQL database's schema, brought up to date.

use super::control::{self, ControlArgs};
use super::env::Env;
use crate::Result;
use crate::store::Store;

/// Prepares a PostgreSQL database, or brings its schema up to date
///
/// Programs of the version before go on meanwhile (migrations/README.md); take a backup first all the same. The embedded
/// store is brought up to date by itself.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    control: ControlArgs,
}

/// Runs the command.
///
/// # Errors
/// Fails where no database is configured, or it cannot be reached or changed.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let options = control::database(&args.control.layers(&[])?)?;
    let steps = Store::migrate(options).await?;
    let text = match steps {
        0 => "The database's schema is up to date.".to_owned(),
        1 => "Brought the database's schema up to date: 1 step.".to_owned(),
        _ => format!("Brought the database's schema up to date: {steps} steps."),
    };
    env.printer.data(&serde_json::json!({"steps": steps}), text)
}
