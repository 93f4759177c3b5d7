//! Audits of a booted image, by others' programs and by our own profile.
//!
//! | auditor | what counts | bar |
//! | --- | --- | --- |
//! | Lynis | its hardening index, with no test left out | the definition's `minimum: {lynis: …}` |
//! | ssh-audit | the exit code of a plain run | 0; what its suite cannot have is a waiver |
//! | systemd | the exposure of every service that is loaded | 2.0 for our own, 5.0 for others or a waiver |
//! | OpenSCAP (Debian 12) | rules of ANSSI BP-028 and of "standard" that fail | none without a reason |
//! | cloud-init | `cloud-init schema --system` | valid |
//! | profile | the image's own playbooks, as a check | nothing to change |
//!
//! The auditors come from a lock of their own, are copied to the machine for the audit, and are no part of the image.

pub mod kit;
mod lynis;
pub mod openscap;
mod page;
mod profile;
mod ssh;
mod systemd;
pub mod waivers;

use serde::Serialize;

pub use self::page::page;
pub use self::profile::Profile;
use self::waivers::Waivers;
use super::definition::Definition;
use super::stop::Stop;
use super::tools::Tools;
use super::vm::boot_test::Booted;
use crate::Result;

/// Who judges a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Auditor {
    /// The image's own playbooks, as a check.
    Profile,
    /// `cloud-init schema --system`.
    CloudInit,
    /// `systemd-analyze security`.
    Systemd,
    /// OpenSCAP, where it has content for the suite.
    Openscap,
    /// Lynis.
    Lynis,
    /// ssh-audit.
    SshAudit,
}

/// What the auditors found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// One for each auditor.
    pub audits: Vec<Audit>,
}

/// What one auditor found.
#[derive(Debug, Clone, Serialize)]
pub struct Audit {
    /// The auditor: `lynis`, `ssh-audit`, `systemd`, `openscap`, `cloud-init`, `profile`.
    pub auditor: &'static str,
    /// Its version, where it tells one.
    pub version: Option<String>,
    /// Its figure: an index, an exit code, the worst exposure, the number of changes.
    pub score: f64,
    /// What the figure is held against, in words.
    pub bar: String,
    /// Whether it is met.
    pub passed: bool,
    /// What it found, in the order in which it tells it.
    pub findings: Vec<Finding>,
}

/// One thing that an auditor found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The auditor's own name for it: a test's id, a unit.
    pub id: String,
    /// What it says.
    pub text: String,
    /// Why it is left so, from the profile.
    pub waived: Option<String>,
}

impl Report {
    /// Whether every bar is met.
    pub fn passed(&self) -> bool {
        self.audits.iter().all(|audit| audit.passed)
    }
}

/// What auditors need beside the machine.
#[derive(Debug, Clone, Copy)]
pub struct Kit<'a> {
    /// What is left as it is, and why.
    pub waivers: &'a Waivers,
    /// Lynis and ssh-audit.
    pub auditors: &'a Tools,
    /// OpenSCAP, with the path of its content, where there is some for the suite.
    pub scanner: Option<(&'a Tools, &'a str)>,
}

/// Runs these auditors on a booted machine, one after the other. `told` hears which one is at work.
///
/// # Errors
/// Fails where an auditor cannot be run; what it found is in the report.
pub async fn run(
    booted: &Booted,
    (definition, profile): (&Definition, &Profile<'_>),
    kit: Kit<'_>,
    wanted: &[Auditor],
    stop: &Stop,
    told: &(dyn Fn(&str) + Sync),
) -> Result<Report> {
    let minimum = definition.hardening.as_ref().and_then(|hardening| hardening.lynis);
    let wants = |auditor| wanted.contains(&auditor);
    let mut audits = Vec::new();
    if wants(Auditor::Profile) {
        told("holding the machine against its own playbooks");
        audits.push(profile::audit(booted, profile).await?);
    }
    if wants(Auditor::CloudInit) {
        told("asking cloud-init");
        audits.push(cloud_init(booted).await?);
    }
    if wants(Auditor::Systemd) {
        told("asking systemd");
        audits.push(systemd::audit(booted, kit.waivers).await?);
    }
    if let Some(scanner) = kit.scanner.filter(|_| wants(Auditor::Openscap)) {
        told("running OpenSCAP");
        audits.push(openscap::audit(booted, scanner, kit.waivers).await?);
    }
    if wants(Auditor::Lynis) {
        told("running Lynis (half an hour where the processor is emulated)");
        audits.push(lynis::audit(booted, kit.auditors, minimum, kit.waivers).await?);
    }
    if wants(Auditor::SshAudit) {
        // Last: sshd keeps whoever probes it so out for a while (OpenSSH's PerSourcePenalties).
        told("running ssh-audit");
        audits.push(ssh::audit(booted, kit.auditors, definition.suite, kit.waivers, stop)?);
    }
    Ok(Report { audits })
}

async fn cloud_init(booted: &Booted) -> Result<Audit> {
    let output = booted.client.exec("sudo -n cloud-init schema --system 2>&1", "").await?;
    let said = String::from_utf8_lossy(&output.stdout);
    let passed = output.status == Some(0);
    let findings = if passed {
        Vec::new()
    } else {
        vec![Finding { id: "schema".into(), text: crate::tool::tail(&said, 8), waived: None }]
    };
    let score = f64::from(u8::from(!passed));
    Ok(Audit { auditor: "cloud-init", version: None, score, bar: "the schema holds".into(), passed, findings })
}
