//! `stead nightly`: every image renewed, proved, and promoted where it passed.

mod page;
mod report;

use std::time::Instant;

use self::report::{Night, Outcome, Report};
use super::env::{Env, Held};
use super::image::{diff, lock, names, promote, proof};
use super::printer::table;
use crate::clock::{Clock, SystemClock};
use crate::error::Context;
use crate::image::vm::boot_test;
use crate::image::{Definition, Lock};
use crate::{Error, Result, atomic_file};

/// Renews every image's lock, builds, verifies, boots and audits it, and promotes what passed
///
/// Where a gate is not passed, the channel and the lock stay as they are, and the summary says which gate and why. The summary is
/// written to .stead/nightly/ as JSON, and as a page with the trend of sizes, boot times and scores.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Images [default: all that are defined with a disk]
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// The channel that what passed is promoted to
    #[arg(long, default_value = "stable", value_name = "CHANNEL")]
    to: String,
}

/// A gate that was not passed.
struct Stopped {
    gate: &'static str,
    error: Error,
}

/// Runs the command.
///
/// # Errors
/// Fails where any image did not pass.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    crate::fleet::name::check_label(&args.to)?;
    let mut held = env.hold("stead nightly").await?;
    let images = chosen(&held, &args.images)?;
    let started = SystemClock.now();
    let mut nights = Vec::new();
    for image in images {
        env.printer.say(format_args!("{image:<16} its night begins"));
        nights.push(night(env, &mut held, &image, &args.to).await);
    }
    let report = Report { started, finished: SystemClock.now(), images: nights };
    let folder = held.place.dir.join(".stead/nightly");
    fs_err::create_dir_all(&folder)?;
    let json =
        serde_json::to_vec_pretty(&report).map_err(|error| Error::failed("encoding the summary").because(error))?;
    atomic_file::write(&folder.join(format!("{}.json", started.format("%Y%m%dT%H%M%SZ"))), &json, 0o600)?;
    let page = page::page(&report::all(&folder)?);
    atomic_file::write(&folder.join("index.md"), page.as_bytes(), 0o600).context("writing the page")?;
    let rows: Vec<Vec<String>> = report.images.iter().map(row).collect();
    env.printer.data(&report, table(&["IMAGE", "OUTCOME", "GATE", "WHY", "SECONDS"], &rows))?;
    let failed = report.images.iter().filter(|night| night.outcome == Outcome::Failed).count();
    if failed == 0 {
        return Ok(());
    }
    Err(Error::failed(format!(
        "{failed} of {} images did not pass; what they had stays as it was",
        report.images.len()
    ))
    .hint(format!("{folder}/index.md has the summary")))
}

/// The images that are named, or all that have a disk.
fn chosen(held: &Held, named: &[String]) -> Result<Vec<String>> {
    let files = &held.place.desired.files;
    let all = names(files);
    if let Some(unknown) = named.iter().find(|name| !all.contains(*name)) {
        return Err(Error::input(format!("no image is called {unknown:?}"))
            .hint("`stead image list` shows those that are defined"));
    }
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    let mut images = Vec::new();
    for name in all {
        if Definition::load(files, &name)?.disk.is_some() {
            images.push(name);
        }
    }
    Ok(images)
}

/// One image's night. What goes wrong is in what is returned; the lock is then the one from before.
async fn night(env: &Env, held: &mut Held, image: &str, to: &str) -> Night {
    let begun = Instant::now();
    let mut night = Night::new(image);
    let definition = Definition::load(&held.place.desired.files, image);
    let path = definition.as_ref().ok().map(|definition| held.place.dir.join(Lock::path(image, &definition.arch)));
    let before = path.as_ref().and_then(|path| atomic_file::read(path).ok().flatten());
    if let Err(Stopped { gate, error }) = gates(env, held, image, to, &mut night).await {
        night.outcome = Outcome::Failed;
        night.gate = Some(gate.to_owned());
        night.why = Some(error.one_line());
        env.printer.error(&error.context(format!("image {image:?}, gate {gate}")));
        if let (Some(path), Some(before)) = (path, before)
            && let Err(error) = atomic_file::write(&path, &before, 0o644)
        {
            env.printer.warn(format_args!("{path} could not be put back: {}", error.one_line()));
        }
    }
    night.seconds = begun.elapsed().as_secs_f64();
    night
}

async fn gates(env: &Env, held: &mut Held, image: &str, to: &str, night: &mut Night) -> Result<(), Stopped> {
    let at = |gate: &'static str| move |error: Error| Stopped { gate, error };
    let missed = |gate: &'static str, why: String| Stopped { gate, error: Error::failed(why) };
    let (lock, changes) = lock::renewed(env, &held.place, image, true).await.map_err(at("lock"))?;
    let path = Lock::path(image, &lock.arch);
    lock::write(&held.place.dir, &path, &lock).map_err(at("lock"))?;
    night.changes = changes;
    held.place = env.place().map_err(at("lock"))?;

    let disk = proof::disk(env, held, image).await.map_err(at("build"))?;
    night.key = Some(disk.key().to_owned());
    night.size = fs_err::metadata(&disk.built.file).ok().map(|file| file.len());
    let mut reader = held.store.read().await.map_err(at("build"))?;
    let stable = reader.channel(image, to).await.map_err(at("build"))?;
    drop(reader);
    if stable.as_ref().is_some_and(|stable| stable.key == disk.key()) {
        night.outcome = Outcome::Unchanged;
        return Ok(());
    }
    let verified = proof::verify(env, held, &disk).await.map_err(at("verify"))?;
    if !verified.identical {
        let first = verified.differing.first().cloned().unwrap_or_default();
        return Err(missed("verify", format!("two builds differ: {first}")));
    }
    for firmware in disk.firmware() {
        let report = proof::boot(env, held, &disk, firmware).await.map_err(at("boot"))?;
        night.boot.insert(firmware.name().to_owned(), report.seconds.get("ssh").copied().unwrap_or_default());
        if !report.passed() {
            return Err(missed("boot", failed_checks(firmware.name(), &report)));
        }
    }
    if disk.inputs.definition.hardening.is_some() {
        let report = proof::audit(env, held, &disk, &[]).await.map_err(at("audit"))?;
        night.scores = report.audits.iter().map(|audit| (audit.auditor.to_owned(), audit.score)).collect();
        if !report.passed() {
            let failed = report.audits.iter().filter(|audit| !audit.passed);
            let failed: Vec<String> =
                failed.map(|audit| format!("{} {} (bar: {})", audit.auditor, audit.score, audit.bar)).collect();
            return Err(missed("audit", failed.join("; ")));
        }
    }
    if let Some(stable) = &stable {
        let before = diff::recorded(&held.store, &stable.key).await.map_err(at("diff"))?;
        let now = diff::recorded(&held.store, disk.key()).await.map_err(at("diff"))?;
        night.diff = Some(diff::text(&crate::image::record::diff::diff(&before, &now)));
    }
    let row = held.store.read().await.map_err(at("promote"))?.image(disk.key()).await.map_err(at("promote"))?;
    let row = row.ok_or_else(|| missed("promote", "the build is not recorded".into()))?;
    promote::promote(env, held, &row, to).await.map_err(at("promote"))?;
    night.outcome = Outcome::Promoted;
    Ok(())
}

fn failed_checks(firmware: &str, report: &boot_test::Report) -> String {
    let failed = report.checks.iter().filter(|check| !check.passed);
    let failed: Vec<String> =
        failed.map(|check| format!("{}: {}", check.name, check.seen.replace('\n', "; "))).collect();
    format!("{firmware}: {}", failed.join("; "))
}

fn row(night: &Night) -> Vec<String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    vec![
        night.image.clone(),
        night.outcome.word().to_owned(),
        text(&night.gate),
        text(&night.why),
        format!("{:.0}", night.seconds),
    ]
}
