//! OpenSCAP: ComplianceAsCode's profiles, on the root as it lies, where there is content for the suite.
//!
//! An emulated machine would take hours for it. Many of its rules ask the running kernel, which a root that lies has not: they fail
//! here whatever the image does, so what it finds is told, and holds nothing up.

use std::collections::BTreeMap;
use std::process::Stdio;

use camino::{Utf8Path, Utf8PathBuf};

use super::waivers::Waivers;
use super::{Audit, Finding};
use crate::error::Context;
use crate::image::contained;
use crate::image::definition::{Definition, Suite};
use crate::image::stop::Stop;
use crate::image::tools::{self, Tools};
use crate::{Error, Result};

/// The name that the scanner's lock has among images.
pub const NAME: &str = "scap";
/// Where the scanner looks for its own files.
const SHARED: &str = "usr/share/openscap";
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

/// Holds the root of these layers (topmost first) against the profiles in `content`. `dir` is a folder for the mount.
///
/// # Errors
/// Fails where the scanner cannot look, and where `stop` ended it.
pub fn audit(
    program: &Utf8Path,
    layers: &[Utf8PathBuf],
    (kit, content): (&Tools, &str),
    dir: &Utf8Path,
    waivers: &Waivers,
    stop: &Stop,
) -> Result<Audit> {
    let [upper, work, root] = ["upper", "work", "root"].map(|name| dir.join(name));
    for folder in [&upper, &work, &root] {
        fs_err::create_dir_all(folder)?;
    }
    let mut failed = BTreeMap::new();
    for profile in PROFILES {
        let scanner = kit.command("usr/bin/oscap");
        let mut command = contained::command(program)?;
        command.args(["internal", "overlay"]);
        for layer in layers {
            command.args(["--layer", layer.as_str()]);
        }
        command
            .args(["--upper", upper.as_str(), "--work", work.as_str(), "--root", root.as_str(), "--"])
            .arg(scanner.get_program())
            .args(scanner.get_args())
            .args(["xccdf", "eval", "--progress", "--profile", &format!("{PROFILE}{profile}")])
            .arg(kit.file(content))
            .env("LC_ALL", "C.UTF-8")
            .env("OSCAP_PROBE_ROOT", &root)
            .env("OSCAP_SCHEMA_PATH", kit.file(SHARED).join("schemas"))
            .env("OSCAP_XSLT_PATH", kit.file(SHARED).join("xsl"))
            .env("OSCAP_CPE_PATH", kit.file(SHARED).join("cpe"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let output = stop.spawn(&mut command).context("starting OpenSCAP")?.output()?;
        // 2: a rule does not hold.
        if !matches!(output.status.code(), Some(0 | 2)) {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Error::failed(format!("OpenSCAP could not look at the root ({})", output.status))
                .because(crate::tool::tail(&said, 8)));
        }
        let rules = read(&String::from_utf8_lossy(&output.stdout));
        if rules.is_empty() {
            let why = format!("{content} has no profile {profile:?} for this root");
            return Err(Error::failed("OpenSCAP looked at nothing").because(why));
        }
        failed.extend(rules.into_iter().filter(|(_, result)| result != "pass"));
    }
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
        failed.into_iter().map(|(id, text)| Finding { waived: waivers.openscap.get(&id).cloned(), id, text }).collect();
    let open = findings.iter().filter(|finding| finding.waived.is_none()).count();
    Audit {
        auditor: "openscap",
        version: None,
        #[expect(clippy::cast_precision_loss, reason = "a few hundred rules")]
        score: open as f64,
        bar: "none: rules that fail without a reason are counted".into(),
        passed: true,
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
