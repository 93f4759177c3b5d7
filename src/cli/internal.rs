//! What the program starts itself again for. Not for people: no help text, and nothing here is stable.
//!
//! These run before any thread is started, since a process with threads cannot leave its mount namespace.

use camino::Utf8PathBuf;

use crate::error::Context;
use crate::provider::local::supervisor;
use crate::{Error, Result, image};

/// The helpers.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Internal {
    /// Runs a local node until it powers itself off.
    Supervise {
        /// The node's folder.
        dir: Utf8PathBuf,
    },
    /// Writes a root to standard output, as a tar stream.
    Pack {
        /// No file in it is younger, in seconds since 1970.
        #[arg(long)]
        epoch: u64,
        /// A folder for what the image's record is made from.
        #[arg(long)]
        record: Utf8PathBuf,
        /// The root.
        root: Utf8PathBuf,
    },
    /// Becomes another program, with an overlay mounted that only it sees.
    Overlay {
        /// Layers, topmost first.
        #[arg(long = "layer")]
        layers: Vec<Utf8PathBuf>,
        /// Where changes go.
        #[arg(long)]
        upper: Utf8PathBuf,
        /// overlayfs's scratch folder.
        #[arg(long)]
        work: Utf8PathBuf,
        /// Where the overlay is mounted.
        #[arg(long)]
        root: Utf8PathBuf,
        /// The program and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

impl Internal {
    /// Does it.
    ///
    /// # Errors
    /// Fails as the helper does.
    pub(super) fn run(self) -> Result<()> {
        use std::os::unix::process::CommandExt;
        match self {
            Internal::Supervise { dir } => supervisor::supervise(dir),
            Internal::Pack { epoch, record, root } => {
                image::disk::pack::pack(&root, epoch, &record, std::io::stdout().lock())
            }
            Internal::Overlay { layers, upper, work, root, command } => {
                image::overlay::enter(&layers, &upper, &work, &root)?;
                let (program, arguments) = command.split_first().ok_or_else(|| Error::input("no command"))?;
                let error = std::process::Command::new(program).args(arguments).exec();
                Err(error).with_context(|| format!("starting {program}"))
            }
        }
    }
}
