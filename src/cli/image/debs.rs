//! `stead image debs`: the local store of package files.

use camino::Utf8PathBuf;

use super::lock::definition;
use crate::Result;
use crate::cli::env::Env;
use crate::error::Context;
use crate::image::Lock;
use crate::image::debs::Debs;

/// Takes packages' files to another machine's store: for builds without a network, or of versions that have left the archive
#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Command {
    Export(Export),
    Import(Import),
}

/// Writes the files of an image's lock into one file
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Export {
    /// The image (or `tools`, `auditors`)
    name: String,
    /// The file
    file: Utf8PathBuf,
}

/// Takes the files that `export` wrote into this machine's store
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Import {
    /// The file
    file: Utf8PathBuf,
}

/// Runs the command.
///
/// # Errors
/// Fails where a package's file is missing, and as the file system does.
pub(super) fn run(command: &Command, env: &Env) -> Result<()> {
    let debs = Debs::new(&env.config.cache_dir);
    let (count, text) = match command {
        Command::Export(Export { name, file }) => {
            let place = env.place()?;
            let lock = Lock::load(&place.desired.files, &definition(&place, name)?)?;
            let output = fs_err::File::create(file).with_context(|| format!("writing {file}"))?;
            debs.export(&lock, output).map_err(|error| {
                error.hint(format!("`stead image build {name}` brings what is missing into the store"))
            })?;
            (lock.packages.len(), format!("{} packages written to {file}", lock.packages.len()))
        }
        Command::Import(Import { file }) => {
            let count = debs.import(fs_err::File::open(file).with_context(|| format!("reading {file}"))?)?;
            (count, format!("{count} packages taken from {file}"))
        }
    };
    env.printer.data(&serde_json::json!({"packages": count}), text)
}
