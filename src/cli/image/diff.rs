//! `stead image diff`.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{reference, show};
use crate::cli::env::Env;
use crate::cli::text::size;
use crate::image::record::diff::{self, Diff, Direction, Files};
use crate::image::record::{Recorded, documents};
use crate::store::Store;
use crate::{Result, image};

/// Shows what differs between two builds: packages, files by package, sizes, scores
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The first build: NAME (its latest), NAME:CHANNEL, or the beginning of its key
    first: String,
    /// The second build
    second: String,
}

/// Runs the command.
///
/// # Errors
/// Fails where there is no such build, or no disk was made of it.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let place = env.place()?;
    let store = env.store(&place).await?;
    let (first, second) = (recorded(&store, &args.first).await?, recorded(&store, &args.second).await?);
    let diff = diff::diff(&first, &second);
    let text = if diff.is_empty() { "no difference".to_owned() } else { text(&diff) };
    env.printer.data(&diff, text)
}

/// What a build is compared by.
pub(in crate::cli) async fn recorded(store: &Store, build: &str) -> Result<Recorded> {
    let found = reference::resolve(store, build).await?;
    let entry = reference::entry(&found)?;
    let files = show::document(store, &entry, documents::FILES).await?;
    let status = show::document(store, &entry, documents::STATUS).await?;
    let scores: BTreeMap<String, f64> =
        entry.gates.values().flat_map(|gate: &image::record::Gate| gate.figures.clone()).collect();
    documents::recorded((&found.name, &found.key), (&files, &status), entry.artefacts, scores)
}

/// The difference for people.
pub(in crate::cli) fn text(diff: &Diff) -> String {
    let mut text = String::new();
    for package in &diff.packages.added {
        let _ = writeln!(text, "+ {} {}", package.name, package.version);
    }
    for package in &diff.packages.removed {
        let _ = writeln!(text, "- {} {}", package.name, package.version);
    }
    for change in &diff.packages.changed {
        let back = if change.direction == Direction::Downgrade { "  (downgrade)" } else { "" };
        let _ = writeln!(text, "~ {} {} -> {}{back}", change.name, change.from, change.to);
    }
    for (package, files) in &diff.files {
        let _ = writeln!(text, "files of {package}: {}", counts(files));
    }
    if !(diff.unowned.added.is_empty() && diff.unowned.removed.is_empty() && diff.unowned.changed.is_empty()) {
        let _ = writeln!(text, "files of no package: {}", counts(&diff.unowned));
        let changed = diff.unowned.changed.iter().map(|changed| format!("~ {}", changed.path));
        let added = diff.unowned.added.iter().map(|path| format!("+ {path}"));
        for line in changed.chain(added).chain(diff.unowned.removed.iter().map(|path| format!("- {path}"))).take(40) {
            let _ = writeln!(text, "  {line}");
        }
    }
    for change in &diff.sizes {
        let shown = |bytes: Option<u64>| bytes.map_or_else(|| "-".into(), size);
        let _ = writeln!(text, "size of {}: {} -> {}", change.artefact, shown(change.from), shown(change.to));
    }
    for change in &diff.scores {
        let shown = |score: Option<f64>| score.map_or_else(|| "-".into(), |score| format!("{score:.1}"));
        let _ = writeln!(text, "{}: {} -> {}", change.auditor, shown(change.from), shown(change.to));
    }
    text.trim_end().to_owned()
}

fn counts(files: &Files) -> String {
    format!("{} added, {} removed, {} changed", files.added.len(), files.removed.len(), files.changed.len())
}
