//! `stead image`: what nodes are born from.

mod audit;
mod boot;
mod build;
mod debs;
pub(super) mod diff;
mod gc;
mod list;
pub(super) mod lock;
pub(super) mod promote;
pub(super) mod proof;
mod reference;
mod show;
mod verify;

use std::collections::BTreeSet;

use super::env::Env;
use crate::fleet::FileSet;
use crate::{Error, Result};

/// Locks, builds, proves and promotes images
#[derive(Debug, clap::Subcommand)]
pub(super) enum Image {
    List(list::Args),
    Show(show::Args),
    Lock(lock::Args),
    Build(build::Args),
    Verify(verify::Args),
    Boot(boot::Args),
    Audit(audit::Args),
    Diff(diff::Args),
    Promote(promote::Args),
    Gc(gc::Args),
    #[command(subcommand)]
    Debs(debs::Command),
}

/// Runs the command.
///
/// # Errors
/// Fails where no such image is defined, its definition has mistakes, or the command fails.
pub(super) async fn run(command: &Image, env: &Env) -> Result<()> {
    match command {
        Image::List(list::Args {}) => list::run(env).await,
        Image::Show(args) => show::run(args, env).await,
        Image::Diff(args) => diff::run(args, env).await,
        Image::Debs(command) => debs::run(command, env),
        Image::Gc(args) => gc::run(args, env),
        Image::Promote(args) => promote::run(args, env).await,
        Image::Lock(args) => lock::run(args, env).await,
        Image::Build(args) if args.dry_run => build::dry_run(args, env),
        Image::Build(args) => build::run(args, env).await,
        Image::Verify(args) => verify::run(args, env).await,
        Image::Audit(args) => audit::run(args, env).await,
        Image::Boot(args) => boot::run(args, env).await,
    }
}

/// The images that are defined: the shipped ones, and the fleet's own.
pub(super) fn names(files: &FileSet) -> BTreeSet<String> {
    files.images().collect()
}

/// Whether an image of this name is defined.
fn check_name(files: &FileSet, name: &str) -> Result<()> {
    let names = names(files);
    if names.contains(name) {
        return Ok(());
    }
    let error = Error::input(format!("no image is called {name:?}"));
    Err(error.hint(
        crate::fleet::read::nearest_hint(name, &names).unwrap_or_else(|| "images/NAME/image.yaml defines one".into()),
    ))
}
