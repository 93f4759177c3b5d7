//! Lynis: copied to the machine, run as it ships, without a test left out.

use super::waivers::Waivers;
use super::{Audit, Finding, kit};
use crate::error::Context;
use crate::image::tools::Tools;
use crate::image::vm::boot_test::Booted;
use crate::{Error, Result};

/// Where it lies on the machine while it runs.
const PLACE: &str = "/root/lynis";
/// What it is made of: files and folders of the package, and what they are called beside the program.
const PARTS: [(&str, &str); 4] = [
    ("usr/sbin/lynis", "lynis"),
    ("etc/lynis/default.prf", "default.prf"),
    ("usr/share/lynis/include", "include"),
    ("usr/share/lynis/db", "db"),
];

pub(super) async fn audit(booted: &Booted, auditors: &Tools, minimum: Option<u64>, waivers: &Waivers) -> Result<Audit> {
    kit::send(booted, auditors, &PARTS, PLACE).await?;
    let script = format!(
        "sudo -n sh -c 'cd {PLACE} && mkdir -m 700 plugins && ./lynis audit system --quick --no-colors --logfile {PLACE}/log \
         --report-file {PLACE}/report >/dev/null 2>&1; cat report; echo; echo ==; grep \"Reason to skip\" log'"
    );
    let output = booted.client.exec(&script, "").await.context("running Lynis")?;
    kit::remove(booted, PLACE).await?;
    read(&String::from_utf8_lossy(&output.stdout), minimum, waivers)
}

/// What Lynis wrote: its report, and after a line of `==` why it passed over tests.
fn read(said: &str, minimum: Option<u64>, waivers: &Waivers) -> Result<Audit> {
    let (report, skipped) = said.split_once("\n==\n").unwrap_or((said, ""));
    let field = |name: &str| report.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let score: f64 = field("hardening_index")
        .and_then(|index| index.trim().parse().ok())
        .ok_or_else(|| Error::failed("Lynis gave no hardening index").because(crate::tool::tail(said, 8)))?;
    let findings = report
        .lines()
        .filter_map(|line| line.strip_prefix("warning[]=").or_else(|| line.strip_prefix("suggestion[]=")))
        .filter_map(|line| {
            let mut parts = line.split('|');
            let (id, text) = (parts.next()?.to_owned(), parts.next()?.to_owned());
            Some(Finding { waived: waivers.lynis.get(&id).cloned(), id, text })
        })
        .collect();
    // Tests for other systems are passed over by Lynis itself; what somebody told it to leave out says so.
    let left_out = skipped.lines().filter(|line| line.contains("Skipped by")).count();
    #[expect(clippy::cast_precision_loss, reason = "an index of at most 100")]
    let bar = minimum.unwrap_or(0) as f64;
    Ok(Audit {
        auditor: "lynis",
        version: field("lynis_version").map(str::to_owned),
        score,
        bar: format!("{bar} or more, no test left out"),
        passed: score >= bar && left_out == 0,
        findings,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "lynis_version=3.1.4\nsuggestion[]=USB-3000|Consider a program|-|-|\nwarning[]=PKGS-7392|Old packages|-|-|\nhardening_index=89\n\n==\n";

    #[test]
    fn a_report_is_read() {
        let mut waivers = Waivers::default();
        waivers.lynis.insert("USB-3000".into(), "no sockets".into());
        let audit = read(REPORT, Some(85), &waivers).unwrap();
        assert!(audit.passed && (audit.score - 89.0).abs() < f64::EPSILON);
        let waived: Vec<_> =
            audit.findings.iter().map(|finding| (finding.id.as_str(), finding.waived.is_some())).collect();
        assert_eq!(waived, [("PKGS-7392", false), ("USB-3000", true)].map(|x| x).into_iter().rev().collect::<Vec<_>>());
        assert!(!read(REPORT, Some(90), &waivers).unwrap().passed);
    }

    #[test]
    fn a_test_that_was_left_out_fails_the_audit() {
        let left_out = format!("{REPORT}Reason to skip: Skipped by configuration\n");
        assert!(!read(&left_out, Some(85), &Waivers::default()).unwrap().passed);
        let other = format!("{REPORT}Reason to skip: Incorrect guest OS (AIX only)\n");
        assert!(read(&other, Some(85), &Waivers::default()).unwrap().passed);
        assert!(read("nothing", None, &Waivers::default()).is_err());
    }
}
