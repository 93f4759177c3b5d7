//! `stead image boot`.

use std::fmt::Write;

use serde::Serialize;

use super::proof;
use crate::cli::env::Env;
use crate::cli::printer::GOOD;
use crate::image::vm::boot_test::Report;
use crate::image::vm::phases::Step;
use crate::image::vm::qemu::Firmware;
use crate::{Error, Result};

/// How many of the units that took longest are shown.
const LONGEST: usize = 5;

/// Boots an image's disk in QEMU, and looks whether all of it runs
///
/// The disk is built first where it is not stored. The machine gets a NoCloud seed with a host key that is accepted alone, and
/// room for the data volume. Without KVM a boot takes minutes. The console is shown live, unless -q is given.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The image
    name: String,
    /// What it boots with [default: all that its definition names]
    #[arg(long, value_enum)]
    firmware: Vec<Firmware>,
}

#[derive(Serialize)]
struct Done {
    name: String,
    key: String,
    boots: Vec<Report>,
}

/// Runs the command.
///
/// # Errors
/// Fails where the disk does not boot, or anything on it is not as it should be.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let mut held = env.hold("stead image boot").await?;
    let disk = proof::disk(env, &mut held, &args.name).await?;
    let firmware = if args.firmware.is_empty() { disk.firmware() } else { args.firmware.clone() };
    if let Some(other) = firmware.iter().find(|firmware| !disk.firmware().contains(firmware)) {
        return Err(Error::input(format!("the image {:?} is not made for {}", args.name, other.name()))
            .hint("its definition's `disk: {firmware: […]}` names what it boots with"));
    }
    let mut boots = Vec::new();
    for firmware in firmware {
        boots.push(proof::boot(env, &held, &disk, firmware).await?);
    }
    let passed = boots.iter().all(Report::passed);
    let text = boots.iter().map(text).collect::<Vec<_>>().join("\n");
    let key = disk.key().to_owned();
    env.printer.data(&Done { name: args.name.clone(), key, boots }, text)?;
    if passed { Ok(()) } else { Err(Error::failed(format!("the image {:?} does not run as it should", args.name))) }
}

fn text(report: &Report) -> String {
    let how = if report.emulated { ", emulated" } else { "" };
    let mut text = format!("{GOOD}{}{GOOD:#} ({}{how})\n", report.firmware.name(), report.kernel);
    for check in &report.checks {
        let mark = if check.passed { "✓" } else { "✗" };
        let seen = if check.passed { String::new() } else { format!(": {}", check.seen) };
        let _ = writeln!(text, "  {mark} {}{seen}", check.name);
    }
    let phases: Vec<String> = report.seconds.iter().map(|(name, seconds)| format!("{name} {seconds:.1} s")).collect();
    let _ = write!(text, "  {}", phases.join(", "));
    // From the first to be there to sshd; what takes no time of its own says nothing.
    let waited: Vec<&Step> = report.waited.iter().rev().filter(|step| step.took.is_some()).collect();
    if !waited.is_empty() {
        let _ = write!(text, "\n  until ssh: {}", waited.into_iter().map(told).collect::<Vec<_>>().join(", "));
    }
    if !report.longest.is_empty() {
        let longest: Vec<String> = report.longest.iter().take(LONGEST).map(told).collect();
        let _ = write!(text, "\n  longest: {}", longest.join(", "));
    }
    text
}

fn told(step: &Step) -> String {
    format!("{} {:.1} s", step.unit, step.took.unwrap_or_default())
}
