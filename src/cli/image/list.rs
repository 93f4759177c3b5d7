//! `stead image list`.

use serde::Serialize;

use super::names;
use crate::Result;
use crate::cli::env::Env;
use crate::cli::printer::table;
use crate::cli::text::{short, size, time};
use crate::image::Definition;
use crate::store::Image as Build;

/// Lists the images that are defined, and the builds that this fleet has used
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {}

#[derive(Serialize)]
struct Row {
    name: String,
    suite: &'static str,
    arch: String,
    /// Latest first.
    builds: Vec<Build>,
}

/// Runs the command.
pub(super) async fn run(env: &Env) -> Result<()> {
    let place = env.place()?;
    let store = env.store(&place).await?;
    let mut builds = store.read().await?.images().await?;
    let mut rows = Vec::new();
    for name in names(&place.desired.files) {
        let definition = match Definition::load(&place.desired.files, &name) {
            Ok(definition) => definition,
            Err(error) => {
                env.printer.error(&error.context(format!("image {name:?}")));
                continue;
            }
        };
        let (own, others) = builds.into_iter().partition(|build| build.name == name);
        builds = others;
        rows.push(Row { name, suite: definition.suite.name(), arch: definition.arch, builds: own });
    }
    let cells: Vec<Vec<String>> = rows.iter().flat_map(cells).collect();
    env.printer.data(&rows, table(&["IMAGE", "SUITE", "ARCH", "BUILD", "OF", "SIZE", "BUILT (UTC)", "TOOK"], &cells))
}

fn cells(row: &Row) -> Vec<Vec<String>> {
    let cells = |build: Option<&Build>| {
        vec![
            row.name.clone(),
            row.suite.to_owned(),
            row.arch.clone(),
            build.map_or("-", |build| short(&build.key)).to_owned(),
            build.map_or("-", |build| if build.record.is_some() { "disk" } else { "root" }).to_owned(),
            build.map_or_else(|| "-".into(), |build| size(build.size)),
            build.map_or_else(|| "-".into(), |build| time(build.built_at)),
            build.map_or_else(|| "-".into(), |build| format!("{} s", build.build_seconds)),
        ]
    };
    if row.builds.is_empty() { vec![cells(None)] } else { row.builds.iter().map(|build| cells(Some(build))).collect() }
}
