//! `stead backup`: the record, in one file.

use camino::Utf8PathBuf;
use serde::Serialize;

use super::control::ControlArgs;
use super::env::Env;
use super::text::size;
use crate::Result;
use crate::error::Context;
use crate::store::Manifest;

/// Writes the fleet's records and blobs into one new file, while others go on
///
/// Of the embedded store or of PostgreSQL: the file can be restored into either. /// The fleet's keys are not in it, so that whoever holds a backup does not thereby hold the nodes: keep .stead/keys
/// safe as well, apart from the backups.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file; one that is there is never overwritten
    file: Utf8PathBuf,
    #[command(flatten)]
    control: ControlArgs,
}

#[derive(Serialize)]
struct Done<'a> {
    file: &'a Utf8PathBuf,
    bytes: u64,
    manifest: &'a Manifest,
}

/// Runs the command.
///
/// # Errors
/// Fails where the file exists or cannot be written.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let control = env.control(args.control.layers(&[])?).await?;
    let manifest = control.store.backup(&args.file).await?;
    let bytes = fs_err::metadata(&args.file).context("looking at the backup")?.len();
    // All entries but the records themselves.
    let blobs = manifest.entries.len().saturating_sub(1);
    let text = format!("Wrote {}: the records and {blobs} blobs, {}.", args.file, size(bytes));
    env.printer.data(&Done { file: &args.file, bytes, manifest: &manifest }, text)?;
    env.printer.say(format_args!("The keys are not in it: keep {}/.stead/keys safe as well.", control.home));
    Ok(())
}
