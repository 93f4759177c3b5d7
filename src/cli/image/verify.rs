//! `stead image verify`.

use serde::Serialize;

use super::proof;
use crate::cli::env::Env;
use crate::cli::printer::{GOOD, table};
use crate::cli::text::short;
use crate::image::verify::Verified;
use crate::{Error, Result};

/// Builds an image's disk twice from nothing, in different folders, and compares the bytes (needs root)
///
/// Where they differ, the first files that do are named. Takes as long as two builds; packages come from the local store.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The image
    name: String,
}

#[derive(Serialize)]
struct Done {
    name: String,
    #[serde(flatten)]
    verified: Verified,
}

/// Runs the command.
///
/// # Errors
/// Fails where a build does, and where the builds differ.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let name = args.name.as_str();
    let mut held = env.hold("stead image verify").await?;
    let disk = proof::disk(env, &mut held, name).await?;
    let verified = proof::verify(env, &held, &disk).await?;
    let rows: Vec<Vec<String>> = verified
        .artefacts
        .iter()
        .map(|compared| {
            let same = if compared.first == compared.second { "identical" } else { "differs" };
            vec![compared.name.clone(), short(&compared.first).into(), short(&compared.second).into(), same.into()]
        })
        .collect();
    let mut text = table(&["ARTEFACT", "FIRST", "SECOND", ""], &rows);
    for line in &verified.differing {
        text += &format!("\n  {line}");
    }
    if verified.identical {
        text += &format!("\n{GOOD}{name}{GOOD:#} is the same bits every time");
    }
    let identical = verified.identical;
    env.printer.data(&Done { name: name.into(), verified }, text)?;
    if identical {
        return Ok(());
    }
    Err(Error::failed(format!("two builds of {name:?} from the same inputs differ")).hint(
        "a playbook or an overlay file that writes times, random values or the builder's name is the usual cause",
    ))
}
