//! `stead image`: what nodes are born from.

use std::collections::BTreeSet;

use serde::Serialize;

use super::env::Env;
use super::printer::{GOOD, table};
use super::text::{short, size, time};
use super::work;
use crate::clock::SystemClock;
use crate::fleet::FileSet;
use crate::image::{Builder, Definition, Planned, Stop};
use crate::store::Image as Build;
use crate::workflow::flows::image;
use crate::{Error, Result, audit};

/// Builds images, and lists them
#[derive(Debug, clap::Subcommand)]
pub(super) enum Image {
    List(ListArgs),
    Build(BuildArgs),
}

/// Lists the images that are defined, and the builds that this fleet has used
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {}

/// Builds an image as it is defined now; takes the layers that are stored already (needs root)
#[derive(Debug, clap::Args)]
pub(super) struct BuildArgs {
    /// The image
    name: String,
    /// Only say which layers would be made, and why
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
///
/// # Errors
/// Fails where no such image is defined, its definition has mistakes, or the build fails.
pub(super) async fn run(command: &Image, env: &Env) -> Result<()> {
    match command {
        Image::List(ListArgs {}) => list(env).await,
        Image::Build(args) if args.dry_run => dry_run(&args.name, env),
        Image::Build(args) => build(&args.name, env).await,
    }
}

#[derive(Serialize)]
struct Row {
    name: String,
    suite: &'static str,
    arch: String,
    /// Latest first.
    builds: Vec<Build>,
}

async fn list(env: &Env) -> Result<()> {
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
    env.printer.data(&rows, table(&["IMAGE", "SUITE", "ARCH", "BUILD", "SIZE", "BUILT (UTC)", "TOOK"], &cells))
}

fn cells(row: &Row) -> Vec<Vec<String>> {
    let cells = |build: Option<&Build>| {
        vec![
            row.name.clone(),
            row.suite.to_owned(),
            row.arch.clone(),
            build.map_or("-", |build| short(&build.key)).to_owned(),
            build.map_or_else(|| "-".into(), |build| size(build.size)),
            build.map_or_else(|| "-".into(), |build| time(build.built_at)),
            build.map_or_else(|| "-".into(), |build| format!("{} s", build.build_seconds)),
        ]
    };
    if row.builds.is_empty() { vec![cells(None)] } else { row.builds.iter().map(|build| cells(Some(build))).collect() }
}

/// The images that are defined: the shipped ones, and the fleet's own.
fn names(files: &FileSet) -> BTreeSet<String> {
    let defined = files.list("images").filter(|path| path.file_name() == Some("image.yaml"));
    defined.filter_map(|path| Some(path.parent()?.file_name()?.to_owned())).collect()
}

fn dry_run(name: &str, env: &Env) -> Result<()> {
    let desired = env.place()?.desired;
    check_name(&desired.files, name)?;
    let inputs = image::inputs(&env.config, &desired, name)?;
    let layers = Builder::new(&env.config, &SystemClock).plan(&inputs)?;
    env.printer.data(&layers, table(&["LAYER", "KEY", "WOULD BE"], &layers.iter().map(planned).collect::<Vec<_>>()))
}

fn planned(layer: &Planned) -> Vec<String> {
    let would = layer.reason.map_or_else(|| "taken as it is stored".into(), |reason| format!("made: {reason}"));
    vec![layer.kind.into(), short(layer.key.as_str()).into(), would]
}

#[derive(Serialize)]
struct Done {
    name: String,
    key: String,
    /// The layers that were made now; empty where all were stored.
    made: Vec<&'static str>,
    seconds: f64,
}

async fn build(name: &str, env: &Env) -> Result<()> {
    let held = env.hold("stead image build").await?;
    check_name(&held.place.desired.files, name)?;
    let (config, desired, printer) = (env.config.clone(), held.place.desired.clone(), env.printer);
    let wanted = name.to_owned();
    let (stop, signals) = (Stop::default(), work::stop_on_signals(printer, "Stopping the build.")?);
    let stopped = stop.clone();
    tokio::spawn(async move {
        signals.cancelled().await;
        stop.stop();
    });
    let built = tokio::task::spawn_blocking(move || {
        image::build(&config, &desired, &wanted, stopped, &|line| printer.say(format_args!("{wanted:<16} {line}")))
    });
    let (inputs, built) =
        built.await.map_err(|error| Error::failed("the build ended unexpectedly").because(error))??;
    image::record(&held.store, &env.actor(), &inputs, &built).await?;
    audit::seal(&held.store).await?;
    let done =
        Done { name: name.to_owned(), key: built.key.as_str().to_owned(), made: built.made, seconds: built.seconds };
    let text = if done.made.is_empty() {
        format!("{GOOD}{name}{GOOD:#} {} was stored already", done.key)
    } else {
        format!("{GOOD}{name}{GOOD:#} {} built in {:.1} s; made: {}", done.key, done.seconds, done.made.join(", "))
    };
    env.printer.data(&done, text)
}

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
