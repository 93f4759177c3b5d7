//! `stead image gc`.

use crate::Result;
use crate::cli::env::Env;
use crate::cli::printer::table;
use crate::cli::text::{short, size};
use crate::fleet::scalar::Bytes;
use crate::image::stages::Stages;

/// Removes stages from the cache that nothing uses, the longest unused first
///
/// What nodes and channels of any fleet on this machine stand on stays, and so do packages' files.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// How much the stages may take on the disk
    #[arg(long, default_value = "20GiB", value_name = "SIZE", value_parser = parse)]
    max_size: Bytes,
    /// Only tell what would go
    #[arg(long)]
    dry_run: bool,
}

fn parse(text: &str) -> Result<Bytes, String> {
    text.parse::<Bytes>().map_err(|error| error.to_string())
}

/// Runs the command.
///
/// # Errors
/// Fails where a stage cannot be read or removed.
pub(super) fn run(args: &Args, env: &Env) -> Result<()> {
    let outcome = Stages::new(&env.config.cache_dir).collect(args.max_size.0, args.dry_run)?;
    let rows: Vec<Vec<String>> = outcome
        .removed
        .iter()
        .map(|gone| vec![gone.kind.clone(), gone.image.clone(), short(&gone.key).into(), size(gone.size)])
        .collect();
    let kept = format!("{} kept, {} of it pinned", size(outcome.kept), size(outcome.pinned));
    let text =
        if rows.is_empty() { kept } else { format!("{}\n{kept}", table(&["STAGE", "IMAGE", "KEY", "SIZE"], &rows)) };
    env.printer.data(&outcome, text)
}
