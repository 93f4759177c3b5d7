//! `stead image audit`.

use serde::Serialize;

use super::proof;
use crate::cli::env::Env;
use crate::cli::printer::table;
use crate::image::audit::{Auditor, Report, openscap};
use crate::{Error, Result};

/// Boots an image's disk and has others judge it: Lynis, ssh-audit, systemd, cloud-init, and its own playbooks
///
/// In a container the host's kernel settings would show through, so the disk is booted in QEMU. Without KVM this takes half an
/// hour. The report becomes part of the build's record (`stead image show NAME --document audit.md`).
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The image
    name: String,
    /// Run this auditor alone, and record nothing: a disk is promoted by all of them (may be given several times)
    #[arg(long, value_enum, value_name = "AUDITOR")]
    only: Vec<Auditor>,
}

#[derive(Serialize)]
struct Done<'a> {
    name: &'a str,
    key: &'a str,
    passed: bool,
    #[serde(flatten)]
    report: &'a Report,
}

/// Runs the command.
///
/// # Errors
/// Fails where the disk does not boot, an auditor cannot run, or a bar is not met.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let name = args.name.as_str();
    let mut held = env.hold("stead image audit").await?;
    let disk = proof::disk(env, &mut held, name).await?;
    // Before a machine is booted for nothing.
    let suite = disk.inputs.definition.suite;
    if args.only.contains(&Auditor::Openscap) && openscap::content(suite).is_none() {
        return Err(Error::input(format!("OpenSCAP has no content for {}, the suite of {name:?}", suite.name()))
            .hint("name another auditor, or leave `--only` out for all that there are"));
    }
    let report = proof::audit(env, &mut held, &disk, &args.only).await?;
    let passed = report.passed();
    env.printer.data(&Done { name, key: disk.key(), passed, report: &report }, text(&report))?;
    if passed {
        return Ok(());
    }
    let error = Error::failed(format!("the image {name:?} does not meet its bars"));
    Err(if args.only.is_empty() {
        error.hint(format!("`stead image show {name} --document audit.md` tells all that was found"))
    } else {
        error
    })
}

fn text(report: &Report) -> String {
    let rows: Vec<Vec<String>> = report
        .audits
        .iter()
        .map(|audit| {
            let open = audit.findings.iter().filter(|finding| finding.waived.is_none()).count();
            let passed = if audit.passed { "passed" } else { "failed" };
            let auditor = format!("{} {}", audit.auditor, audit.version.as_deref().unwrap_or("")).trim_end().to_owned();
            let waived = audit.findings.len() - open;
            vec![
                auditor,
                audit.score.to_string(),
                audit.bar.clone(),
                passed.into(),
                open.to_string(),
                waived.to_string(),
            ]
        })
        .collect();
    let mut text = table(&["AUDITOR", "SCORE", "BAR", "", "FOUND", "WAIVED"], &rows);
    for audit in report.audits.iter().filter(|audit| !audit.passed) {
        for finding in audit.findings.iter().filter(|finding| finding.waived.is_none()) {
            text += &format!("\n  {}: {} {}", audit.auditor, finding.id, finding.text);
        }
    }
    text
}
