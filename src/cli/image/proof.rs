//! What an image is put to, and what of it is recorded: for the commands of that name, and for `stead nightly`.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8Path;
use clap::ValueEnum;

use super::{check_name, lock};
use crate::cli::env::{Env, Held};
use crate::cli::work;
use crate::clock::{Clock, SystemClock};
use crate::image::audit::waivers::Waivers;
use crate::image::audit::{self, Auditor, Kit, Profile, kit, openscap};
use crate::image::record::Gate;
use crate::image::tools::Tools;
use crate::image::verify::{self, Verified};
use crate::image::vm::boot_test::{self, Booted};
use crate::image::vm::qemu::Firmware;
use crate::image::{Builder, BuiltDisk, Inputs, Lock, Stop};
use crate::ssh::agent::AgentBinary;
use crate::workflow::flows::image;
use crate::{Error, Result};

/// The longest that a machine is worked with.
const MOST: Duration = Duration::from_secs(2 * 3600);
/// Between two looks at whether it is to stop.
const POLL: Duration = Duration::from_millis(300);
/// The playbook that the profile `server` is.
const PROFILE: &str = "hardening";

/// A disk to be put to something.
pub(in crate::cli) struct Disk {
    pub(in crate::cli) inputs: Inputs,
    pub(in crate::cli) built: BuiltDisk,
}

impl Disk {
    /// The key of the build, as the store knows it.
    pub(in crate::cli) fn key(&self) -> &str {
        self.built.key.as_str()
    }

    fn name(&self) -> &str {
        &self.inputs.definition.name
    }

    /// What it is made to boot with.
    pub(in crate::cli) fn firmware(&self) -> Vec<Firmware> {
        let declared = self.inputs.definition.disk.as_ref().map_or(&[][..], |disk| &disk.firmware);
        let all = [Firmware::Bios, Firmware::Uefi].into_iter();
        all.filter(|firmware| declared.iter().any(|name| name == firmware.name())).collect()
    }
}

/// An image's disk, built and recorded where it is not yet.
///
/// # Errors
/// Fails where no such image is defined, its definition has mistakes, or a stage fails.
pub(in crate::cli) async fn disk(env: &Env, held: &mut Held, name: &str) -> Result<Disk> {
    check_name(&held.place.desired.files, name)?;
    lock::ensure(env, &mut held.place, [name], true).await?;
    let inputs = image::inputs(&env.config, &held.place.desired, name)?;
    let config = env.config.clone();
    let (inputs, built) = work::on_thread(env.printer, name, "Stopping the build.", move |stop, progress| {
        let built = Builder::new(&config, &SystemClock).with_stop(stop).build_disk(&inputs, progress)?;
        Ok((inputs, built))
    })
    .await?;
    let keys = env.keys(&held.place)?;
    image::record_disk(&held.store, &env.actor(), keys.image_signer(), &inputs, &built).await?;
    Ok(Disk { inputs, built })
}

/// Builds the disk twice from nothing, and compares.
///
/// # Errors
/// Fails where a build does; that they differ is in what is returned.
pub(in crate::cli) async fn verify(env: &Env, held: &Held, disk: &Disk) -> Result<Verified> {
    let (config, inputs, built) = (env.config.clone(), disk.inputs.clone(), disk.built.clone());
    let verified = work::on_thread(env.printer, disk.name(), "Stopping the builds.", move |stop, progress| {
        let mut verified = verify::verify(&config, &SystemClock, &inputs, &stop, progress)?;
        // What is identical twice must also be what was stored and recorded.
        verified.held_against(&built)?;
        Ok(verified)
    })
    .await?;
    let seen = verified.differing.first().cloned().unwrap_or_else(|| "identical".into());
    let gate = Gate { passed: verified.identical, seen, figures: BTreeMap::new(), at: SystemClock.now() };
    record(env, held, disk, "verify", gate).await?;
    Ok(verified)
}

/// Boots the disk, and looks whether all of it runs.
///
/// # Errors
/// Fails where nobody can log in; what does not hold is in the report.
pub(in crate::cli) async fn boot(env: &Env, held: &Held, disk: &Disk, firmware: Firmware) -> Result<boot_test::Report> {
    let (dir, stop) = (boot_test::folder(&env.config.cache_dir)?, stop(env)?);
    let report = until_stopped(&stop, async {
        let machine = booted(env, disk, firmware, &dir, &stop).await?;
        let report = machine.check().await?;
        machine.client.close().await;
        Ok(report)
    })
    .await;
    let name = format!("boot.{}", firmware.name());
    let report = or_failed(env, held, disk, &name, &stop, report).await?;
    let failed: Vec<&str> = report.checks.iter().filter(|check| !check.passed).map(|check| check.name).collect();
    let seen = if failed.is_empty() {
        format!("ssh after {:.0} s{}", report.seconds["ssh"], if report.emulated { ", emulated" } else { "" })
    } else {
        format!("does not hold: {}", failed.join(", "))
    };
    let figures = report.seconds.iter().map(|(phase, seconds)| (format!("{name}.{phase}"), *seconds)).collect();
    record(env, held, disk, &name, Gate { passed: report.passed(), seen, figures, at: SystemClock.now() }).await?;
    Ok(report)
}

/// Boots the disk, and has others judge it: all of them, or `only` some, of which nothing is recorded.
///
/// # Errors
/// Fails where the disk does not boot or an auditor cannot run; a bar that is not met is in the report.
pub(in crate::cli) async fn audit(env: &Env, held: &mut Held, disk: &Disk, only: &[Auditor]) -> Result<audit::Report> {
    lock::ensure(env, &mut held.place, [kit::NAME], false).await?;
    let name = disk.name();
    let waivers = Waivers::load(&held.place.desired.files, PROFILE)?;
    let lock = Lock::load(&held.place.desired.files, &kit::definition())?;
    let auditors = programs(env, kit::NAME, lock).await?;
    let scanner = scanner(env, held, disk).await?;
    let scanner = scanner.as_ref().map(|(scanner, content)| (scanner, *content));
    let inputs = &disk.inputs;
    let agent = AgentBinary::read(&inputs.programs.node.path, &inputs.programs.arch)?;

    let (dir, stop) = (boot_test::folder(&env.config.cache_dir)?, stop(env)?);
    let firmware = disk.firmware().first().copied().unwrap_or(Firmware::Bios);
    let profile = Profile { plan: &inputs.plan, files: &inputs.files, agent: &agent };
    let printer = env.printer;
    let told = move |line: &str| printer.say(line);
    let report = until_stopped(&stop, async {
        let machine = booted(env, disk, firmware, &dir, &stop).await?;
        // Until all of it runs, an auditor would judge half a machine.
        if !machine.check().await?.passed() {
            return Err(Error::failed("the machine does not run as it should, so it was not audited")
                .hint(format!("`stead image boot {name}` tells what does not hold")));
        }
        let kit = Kit { waivers: &waivers, auditors: &auditors, scanner };
        let wanted = if only.is_empty() { Auditor::value_variants() } else { only };
        let report = audit::run(&machine, (&inputs.definition, &profile), kit, wanted, &stop, &told).await?;
        machine.client.close().await;
        Ok(report)
    })
    .await;
    if !only.is_empty() {
        return report;
    }
    let report = or_failed(env, held, disk, "audit", &stop, report).await?;

    let json =
        serde_json::to_vec_pretty(&report).map_err(|error| Error::failed("encoding the report").because(error))?;
    let documents = [("audit.json", json), ("audit.md", audit::page(name, disk.key(), &report).into_bytes())];
    let documents = documents.map(|(name, content)| (name.to_owned(), content)).to_vec();
    let keys = env.keys(&held.place)?;
    image::record_documents(&held.store, &env.actor(), keys.image_signer(), disk.key(), documents).await?;
    let failed: Vec<String> = report
        .audits
        .iter()
        .filter(|audit| !audit.passed)
        .map(|audit| format!("{} {} (bar: {})", audit.auditor, audit.score, audit.bar))
        .collect();
    let figures: BTreeMap<String, f64> =
        report.audits.iter().map(|audit| (format!("audit.{}", audit.auditor), audit.score)).collect();
    let lynis = figures.get("audit.lynis").copied().unwrap_or_default();
    let seen = if failed.is_empty() { format!("every bar met; Lynis {lynis}") } else { failed.join("; ") };
    record(env, held, disk, "audit", Gate { passed: report.passed(), seen, figures, at: SystemClock.now() }).await?;
    Ok(report)
}

/// A folder of programs, by its lock.
async fn programs(env: &Env, name: &'static str, lock: Lock) -> Result<Tools> {
    let config = env.config.clone();
    work::on_thread(env.printer, name, "Stopping.", move |stop, progress| {
        Builder::new(&config, &SystemClock).with_stop(stop).kit(name, &lock, progress)
    })
    .await
}

/// OpenSCAP, with its content for the suite; nothing where nobody has written one.
async fn scanner(env: &Env, held: &mut Held, disk: &Disk) -> Result<Option<(Tools, &'static str)>> {
    let Some(content) = openscap::content(disk.inputs.definition.suite) else { return Ok(None) };
    lock::ensure(env, &mut held.place, [openscap::NAME], false).await?;
    let lock = Lock::load(&held.place.desired.files, &openscap::definition())?;
    Ok(Some((programs(env, openscap::NAME, lock).await?, content)))
}

/// Gives a machine up when it is told to stop, whatever it waits for, and in any case after [`MOST`].
async fn until_stopped<T>(stop: &Stop, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::pin!(work);
    let deadline = tokio::time::Instant::now() + MOST;
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(POLL) => stop.check()?,
        }
        if tokio::time::Instant::now() > deadline {
            return Err(Error::failed(format!("the machine was not done after {} minutes", MOST.as_secs() / 60)));
        }
    }
}

/// What a gate brought. Where it could not be finished, an earlier pass no longer counts; unless it was only stopped.
async fn or_failed<T>(env: &Env, held: &Held, disk: &Disk, name: &str, stop: &Stop, brought: Result<T>) -> Result<T> {
    if let Err(error) = &brought
        && stop.check().is_ok()
    {
        let gate = Gate { passed: false, seen: error.one_line(), figures: BTreeMap::new(), at: SystemClock.now() };
        record(env, held, disk, name, gate).await?;
    }
    brought
}

async fn record(env: &Env, held: &Held, disk: &Disk, name: &str, gate: Gate) -> Result<()> {
    image::record_gate(&held.store, &env.actor(), disk.key(), name, gate).await?;
    crate::audit::seal(&held.store).await.map(drop)
}

/// A machine that runs the disk, its console shown.
async fn booted(env: &Env, disk: &Disk, firmware: Firmware, dir: &tempfile::TempDir, stop: &Stop) -> Result<Booted> {
    let printer = env.printer;
    printer.say(format_args!("{:<16} booting with {}", disk.name(), firmware.name()));
    let told = move |line: &str| printer.say(format_args!("  | {line}"));
    let path = Utf8Path::from_path(dir.path()).ok_or_else(|| Error::failed("the cache folder is not UTF-8"))?;
    let size = disk.inputs.definition.disk.as_ref().map_or(0, |disk| disk.size);
    boot_test::boot(disk.built.bootable(), size, firmware, (path, &disk.built.tools), stop, told).await
}

/// What Ctrl-C stops.
fn stop(env: &Env) -> Result<Stop> {
    let (stop, signals) = (Stop::default(), work::stop_on_signals(env.printer, "Switching the machine off.")?);
    let stopped = stop.clone();
    tokio::spawn(async move {
        signals.cancelled().await;
        stopped.stop();
    });
    Ok(stop)
}
