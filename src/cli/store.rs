//! `stead store`: from an embedded store to PostgreSQL.

use std::sync::Arc;

use super::control::{self, ControlArgs};
use super::env::{Env, Held};
use super::publish::publish_tiers;
use crate::Result;
use crate::clock::SystemClock;
use crate::secrets::keys::FleetKeys;
use crate::store;

/// Moves the record from one database to another
#[derive(Debug, clap::Subcommand)]
pub(super) enum Store {
    Import(ImportArgs),
}

/// Takes this fleet's embedded store over into a PostgreSQL database
///
/// Carries over every record and blob, and publishes the fleet's files as they are. From then on the embedded store refuses
/// to be used, and says where it went; the same command again publishes the files as they are by then. `stead migrate` prepares the database. The fleet's keys stay in .stead/keys: workers on
/// other machines need a copy in their own state folder.
#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    #[command(flatten)]
    control: ControlArgs,
}

/// Runs the command.
///
/// # Errors
/// Fails where the database holds a fleet already, or cannot be reached.
pub(super) async fn run(command: &Store, env: &Env) -> Result<()> {
    let Store::Import(args) = command;
    let layers = args.control.layers(&[])?;
    let options = control::database(&layers)?;
    let held = env.hold_any("stead store import").await?;
    let into = store::Store::connect(options, &held.place.dir.join(".stead"), Arc::new(SystemClock)).await?;
    // One that was taken over already, or in the midst of it, only finds out that it was.
    if held.store.moved().await?.is_none() {
        held.store.bind_fleet(&held.place.desired.fleet.id).await?;
    }
    FleetKeys::open_or_create(&FleetKeys::folder(&held.place.dir))?;
    into.take_over(&held.store, &layers.control.worker.host_name()).await?;
    let mut there = Held { place: held.place, store: into };
    let revision = publish_tiers(env, &mut there).await?;
    let Held { place, store: into } = there;
    let (fleet, number) = (&place.desired.fleet, revision.number);
    let text = format!("The fleet {} is {} now, with its files as revision {number}.", fleet.name, into.place());
    env.printer.data(&serde_json::json!({"fleet": fleet.id, "store": into.place(), "revision": number}), text)?;
    env.printer.say(format_args!(
        "Next: `stead serve` and `stead worker` with the same --database; keep {}/.stead/keys safe.",
        place.dir
    ));
    into.close().await;
    Ok(())
}
