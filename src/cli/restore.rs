//! `stead restore`: the record, from a backup.

use std::sync::Arc;

use camino::Utf8PathBuf;

use super::control::{self, ControlArgs};
use super::env::Env;
use crate::clock::SystemClock;
use crate::fleet::FileSet;
use crate::store::{self, Store};
use crate::{Error, Result};

/// Puts a backup's records and blobs into a fleet's folder, or a prepared database, that holds none
///
/// Every entry is checked before anything is put in place. The fleet's keys are not part of a backup: put them into
/// .stead/keys yourself, or its nodes cannot be reached.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The backup
    file: Utf8PathBuf,
    /// The fleet's folder [default: as for every command]
    dir: Option<Utf8PathBuf>,
    #[command(flatten)]
    control: ControlArgs,
}

/// Runs the command.
///
/// # Errors
/// Fails where there is a store already, and where the file is not a whole backup.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    if !args.file.is_file() {
        return Err(Error::input(format!("there is no file {}", args.file)).hint("`stead backup FILE` writes one"));
    }
    let layers = args.control.layers(&[])?;
    if let Some(options) = control::postgres(&layers.control.database)? {
        let home = env.home(&layers)?;
        let store = Store::connect(options, &home.join(".stead"), Arc::new(SystemClock)).await?;
        let manifest = store::restore_into(&store, &args.file, Arc::new(SystemClock)).await?;
        let made = manifest.created_at.format("%Y-%m-%d %H:%M:%S UTC");
        env.printer
            .data(&manifest, format_args!("Restored what was backed up on {made}: it is {} now.", store.place()))?;
        store.close().await;
        return Ok(());
    }
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => env.fleet_dir()?,
    };
    let state = dir.join(".stead");
    let manifest = store::restore(&args.file, &state, Arc::new(SystemClock)).await.inspect_err(|_| {
        // Of a folder that was made for nothing, nothing stays; one that holds anything does.
        let _ = std::fs::remove_dir(&state);
    })?;
    let made = manifest.created_at.format("%Y-%m-%d %H:%M:%S UTC");
    env.printer.data(&manifest, format_args!("Restored what was backed up on {made} into {dir}/.stead."))?;
    if !state.join("keys").is_dir() {
        env.printer.warn(format_args!("{dir}/.stead/keys is not there: put the fleet's keys back before `stead up`"));
    }
    let declared = FileSet::read(&dir).and_then(|files| crate::fleet::load(&files)).map(|fleet| fleet.id);
    if let (Ok(declared), Some(fleet)) = (declared, &manifest.fleet)
        && declared != *fleet
    {
        env.printer.warn(format_args!("the backup is of the fleet {fleet}, and stead.yaml there says {declared}"));
    }
    Ok(())
}
