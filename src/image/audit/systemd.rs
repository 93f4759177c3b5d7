//! systemd's own score of how exposed each service is.

use serde::Deserialize;

use super::waivers::Waivers;
use super::{Audit, Finding};
use crate::image::vm::boot_test::Booted;
use crate::{Error, Result};

/// The most for units of ours.
const OWN: f64 = 2.0;
/// The most for others.
const OTHERS: f64 = 5.0;
/// How units of ours begin.
const OURS: [&str; 2] = ["stead-", "agent@"];

#[derive(Deserialize)]
struct Unit {
    unit: String,
    /// A number, as text.
    exposure: String,
}

pub(super) async fn audit(booted: &Booted, waivers: &Waivers) -> Result<Audit> {
    let output = booted.client.exec("systemd-analyze security --json=short --no-pager", "").await?;
    read(&output.stdout, waivers)
}

fn read(said: &[u8], waivers: &Waivers) -> Result<Audit> {
    let units: Vec<Unit> =
        serde_json::from_slice(said).map_err(|error| Error::failed("systemd-analyze told no units").because(error))?;
    let mut findings = Vec::new();
    let (mut worst, mut passed) = (0.0_f64, !units.is_empty());
    for Unit { unit, exposure } in units {
        let score: f64 = exposure.parse().unwrap_or(10.0);
        let most = if OURS.iter().any(|ours| unit.starts_with(ours)) { OWN } else { OTHERS };
        if score <= most {
            worst = worst.max(score);
            continue;
        }
        let waived = waivers.unit(&unit).cloned();
        passed &= waived.is_some() && most > OWN;
        if waived.is_none() {
            worst = worst.max(score);
        }
        findings.push(Finding { text: format!("{score} (bar {most})"), id: unit, waived });
    }
    let bar = format!("{OWN} for our own units, {OTHERS} for others or a waiver");
    Ok(Audit { auditor: "systemd", version: None, score: worst, bar, passed, findings })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_are_held_to_more_and_never_waived() {
        let said = |unit: &str, exposure: &str| format!(r#"[{{"unit":"{unit}","exposure":"{exposure}","happy":"x"}}]"#);
        let mut waivers = Waivers::default();
        waivers.systemd.insert("getty@.service".into(), "login".into());
        waivers.systemd.insert("stead-x.service".into(), "no".into());
        let passed = |unit: &str, exposure: &str| read(said(unit, exposure).as_bytes(), &waivers).unwrap().passed;
        assert!(passed("stead-x.service", "2.0") && !passed("stead-x.service", "2.1"));
        assert!(passed("dbus.service", "4.9") && !passed("dbus.service", "5.1"));
        assert!(passed("getty@tty1.service", "9.6"), "a template's waiver is its instances'");
        assert!(read(b"[]", &waivers).is_ok_and(|audit| !audit.passed), "nothing looked at is nothing proved");
        assert!(read(b"x", &waivers).is_err());
    }
}
