//! OpenSCAP: ComplianceAsCode's profiles, where there is content for the suite.
//!
//! The scanner runs on the machine, with the libraries that it was built with: many rules ask the running kernel, and systemd.

use std::collections::BTreeMap;

use super::waivers::Waivers;
use super::{Audit, Finding, kit};
use crate::error::Context;
use crate::image::definition::{Definition, Suite};
use crate::image::tools::{self, Tools};
use crate::image::vm::boot_test::Booted;
use crate::{Error, Result};

/// The name that the scanner's lock has among images.
pub const NAME: &str = "scap";
/// Where it lies on the machine while it runs.
const PLACE: &str = "/root/openscap";
/// How the names of profiles and rules begin.
const PROFILE: &str = "xccdf_org.ssgproject.content_profile_";
const RULE: &str = "xccdf_org.ssgproject.content_rule_";
/// ANSSI BP-028 at the level for servers with personal data (which contains the levels below), and the content's own choice.
const PROFILES: [&str; 2] = ["anssi_bp28_enhanced", "standard"];

/// What the scanner's lock is made of.
pub fn definition() -> Definition {
    tools::bare(NAME, &["openscap-scanner", "openscap-common", "ssg-debian"])
}

/// The content for a suite; none where nobody has written one.
pub fn content(suite: Suite) -> Option<&'static str> {
    match suite {
        Suite::Bookworm => Some("usr/share/xml/scap/ssg/content/ssg-debian12-ds.xml"),
        Suite::Trixie => None,
    }
}

pub(super) async fn audit(booted: &Booted, (scanner, content): (&Tools, &str), waivers: &Waivers) -> Result<Audit> {
    let parts = [(tools::LIBRARIES, "lib"), ("usr/bin/oscap", "oscap"), (content, "content.xml")];
    let loader = tools::LOADER;
    kit::send(booted, scanner, &parts, PLACE).await?;
    let mut failed = BTreeMap::new();
    for profile in PROFILES {
        // The content's form was checked by who packed it, and the schemas are as large as all else.
        let script = format!(
            "sudo -n sh -c 'cd {PLACE} && LC_ALL=C.UTF-8 lib/{loader} --library-path lib ./oscap xccdf eval --skip-validation \
             --progress --profile {PROFILE}{profile} content.xml'"
        );
        let output = booted.client.exec(&script, "").await.context("running OpenSCAP")?;
        // 2: a rule does not hold.
        if !matches!(output.status, Some(0 | 2)) {
            return Err(
                Error::failed("OpenSCAP could not look at the machine").because(crate::tool::tail(&output.stderr, 8))
            );
        }
        let rules = read(&String::from_utf8_lossy(&output.stdout));
        if rules.is_empty() {
            let why = format!("{content} has no profile {profile:?} for this machine");
            return Err(Error::failed("OpenSCAP looked at nothing").because(why));
        }
        failed.extend(rules.into_iter().filter(|(_, result)| result != "pass"));
    }
    kit::remove(booted, PLACE).await?;
    Ok(report(failed, waivers))
}

/// The rules that were looked at, with what came of it.
fn read(said: &str) -> BTreeMap<String, String> {
    said.lines()
        .filter_map(|line| line.trim().strip_prefix(RULE)?.split_once(':'))
        .filter(|(_, result)| ["pass", "fail", "error", "unknown"].contains(result))
        .map(|(rule, result)| (rule.to_owned(), result.to_owned()))
        .collect()
}

fn report(failed: BTreeMap<String, String>, waivers: &Waivers) -> Audit {
    let findings: Vec<Finding> =
        failed.into_iter().map(|(id, text)| Finding { waived: waivers.rule(&id).cloned(), id, text }).collect();
    let open = findings.iter().filter(|finding| finding.waived.is_none()).count();
    Audit {
        auditor: "openscap",
        version: None,
        #[expect(clippy::cast_precision_loss, reason = "a few hundred rules")]
        score: open as f64,
        bar: "no rule fails without a reason".into(),
        passed: open == 0,
        findings,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "xccdf_org.ssgproject.content_rule_package_rsyslog_installed:fail\n\
                        xccdf_org.ssgproject.content_rule_sshd_disable_root:pass\n\
                        xccdf_org.ssgproject.content_rule_partition_for_home:fail\n\
                        xccdf_org.ssgproject.content_rule_uefi_no_removeable_media:notapplicable\n";

    #[test]
    fn rules_that_fail_without_a_reason_are_counted() {
        let rules = read(SAID);
        assert_eq!(rules.len(), 3, "what does not apply is not looked at");
        let failed: BTreeMap<_, _> = rules.into_iter().filter(|(_, result)| result != "pass").collect();
        let mut waivers = Waivers::default();
        waivers.openscap.insert("partition_for_home".into(), "one file system".into());
        let audit = report(failed.clone(), &waivers);
        assert!((audit.score - 1.0).abs() < f64::EPSILON && audit.findings.len() == 2);
        waivers.openscap.insert("package_rsyslog_installed".into(), "journald".into());
        assert!(report(failed, &waivers).score.abs() < f64::EPSILON);
        assert!(read("Evaluating...\n").is_empty());
    }

    #[test]
    fn there_is_content_for_debian_12_alone() {
        assert!(content(Suite::Bookworm).is_some() && content(Suite::Trixie).is_none());
    }
}
