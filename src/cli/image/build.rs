//! `stead image build`.

use serde::Serialize;

use super::{check_name, lock};
use crate::cli::env::Env;
use crate::cli::printer::{GOOD, table};
use crate::cli::text::short;
use crate::cli::work;
use crate::clock::SystemClock;
use crate::image::{Builder, Built, BuiltDisk, Planned};
use crate::workflow::flows::image;
use crate::{Result, audit};

/// Builds an image and its disk as they are defined now; takes the stages that are stored already (needs root)
///
/// Packages come from the image's lock alone. An image without a lock gets one first.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The image
    name: String,
    /// Only say which stages would be made, and why
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Only the root, as nodes in containers start from it; no disk
    #[arg(long)]
    root_only: bool,
}

/// Says what a build would do.
pub(super) fn dry_run(args: &Args, env: &Env) -> Result<()> {
    let desired = env.place()?.desired;
    check_name(&desired.files, &args.name)?;
    let mut inputs = image::inputs(&env.config, &desired, &args.name)?;
    if args.root_only {
        inputs.disk = None;
    }
    let stages = Builder::new(&env.config, &SystemClock).plan(&inputs)?;
    env.printer.data(&stages, table(&["STAGE", "KEY", "WOULD BE"], &stages.iter().map(planned).collect::<Vec<_>>()))
}

fn planned(stage: &Planned) -> Vec<String> {
    let would = stage.reason.map_or_else(|| "taken as it is stored".into(), |reason| format!("made: {reason}"));
    vec![stage.kind.into(), short(stage.key.as_str()).into(), would]
}

#[derive(Serialize)]
struct Done {
    name: String,
    key: String,
    /// The disk in its provider's format, where one is declared.
    disk: Option<camino::Utf8PathBuf>,
    /// The stages that were made now; empty where all were stored.
    made: Vec<&'static str>,
    seconds: f64,
}

enum Made {
    Root(Built),
    Disk(BuiltDisk),
}

/// Runs the command.
///
/// # Errors
/// Fails where no such image is defined, its definition has mistakes, or a stage fails.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let mut held = env.hold("stead image build").await?;
    let name = args.name.as_str();
    check_name(&held.place.desired.files, name)?;
    lock::ensure(env, &mut held.place, [name], !args.root_only).await?;
    let inputs = image::inputs(&env.config, &held.place.desired, name)?;
    let disk = !args.root_only && inputs.definition.disk.is_some();
    let config = env.config.clone();
    let (inputs, built) = work::on_thread(env.printer, name, "Stopping the build.", move |stop, progress| {
        let builder = Builder::new(&config, &SystemClock).with_stop(stop);
        let built = if disk {
            Made::Disk(builder.build_disk(&inputs, progress)?)
        } else {
            Made::Root(builder.build(&inputs, progress)?)
        };
        Ok((inputs, built))
    })
    .await?;
    let (root, file, made, seconds) = match built {
        Made::Root(root) => {
            image::record(&held.store, &env.actor(), &inputs, &root).await?;
            (root.clone(), None, root.made, root.seconds)
        }
        Made::Disk(disk) => {
            let keys = env.keys(&held.place)?;
            image::record_disk(&held.store, &env.actor(), keys.image_signer(), &inputs, &disk).await?;
            (disk.root, Some(disk.file), disk.made, disk.seconds)
        }
    };
    audit::seal(&held.store).await?;
    let key = root.key.as_str().to_owned();
    let mut text = if made.is_empty() {
        format!("{GOOD}{name}{GOOD:#} {key} was stored already")
    } else {
        format!("{GOOD}{name}{GOOD:#} {key} built in {seconds:.1} s; made: {}", made.join(", "))
    };
    if let Some(file) = &file {
        text += &format!("\n{file}");
    }
    env.printer.data(&Done { name: name.into(), key, disk: file, made, seconds }, text)
}
