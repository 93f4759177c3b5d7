//! ssh-audit: run on this host, against the machine's sshd.

use super::waivers::Waivers;
use super::{Audit, Finding};
use crate::image::definition::Suite;
use crate::image::stop::Stop;
use crate::image::tools::Tools;
use crate::image::vm::boot_test::Booted;
use crate::{Error, Result};

pub(super) fn audit(booted: &Booted, auditors: &Tools, suite: Suite, waivers: &Waivers, stop: &Stop) -> Result<Audit> {
    let mut command = auditors.command("usr/bin/python3")?;
    command
        .env("PYTHONHOME", auditors.file("usr"))
        .env("PYTHONPATH", auditors.file("usr/lib/python3/dist-packages"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(auditors.file("usr/bin/ssh-audit"))
        .args(["--no-colors", "-p", &booted.ssh_port.to_string(), "127.0.0.1"]);
    let output = stop.spawn(&mut command)?.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let status = output.status.code().unwrap_or(1);
    // 0 good, 2 warnings, 3 failures; 1 where it could not look.
    if status == 1 || said.trim().is_empty() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(Error::failed("ssh-audit could not look at the machine").because(crate::tool::tail(&stderr, 8)));
    }
    Ok(read(&said, status, suite, waivers))
}

fn read(said: &str, status: i32, suite: Suite, waivers: &Waivers) -> Audit {
    let waived = waivers.ssh_audit.get(suite.name());
    let findings: Vec<Finding> = said
        .lines()
        .filter(|line| line.contains("-- [warn]") || line.contains("-- [fail]"))
        .map(|line| {
            let (what, text) = line.split_once("--").unwrap_or((line, ""));
            let (kind, id) = what.trim().split_once(')').unwrap_or(("", what));
            let id = format!("{}) {}", kind, id.trim());
            // What a suite may be excused for is the exchanges that its OpenSSH has, and nothing else.
            let waived = waived.filter(|_| id.starts_with("(kex)")).cloned();
            Finding { id, text: text.trim().to_owned(), waived }
        })
        .collect();
    // A failure is never waived.
    let excused = !findings.is_empty() && findings.iter().all(|finding| finding.waived.is_some());
    let passed = status == 0 || (status == 2 && excused);
    let version = said.lines().find_map(|line| line.strip_prefix("# ssh-audit v")).map(str::to_owned);
    Audit { auditor: "ssh-audit", version, score: f64::from(status), bar: "exit code 0".into(), passed, findings }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "(kex) curve25519-sha256 -- [warn] does not provide protection against post-quantum attacks\n(kex) sntrup761 -- [info] fine\n";

    #[test]
    fn warnings_count_unless_the_suite_cannot_do_without() {
        let mut waivers = Waivers::default();
        assert!(!read(SAID, 2, Suite::Trixie, &waivers).passed);
        assert!(read("", 0, Suite::Trixie, &waivers).passed);
        waivers.ssh_audit.insert("bookworm".into(), "its OpenSSH is older".into());
        let audit = read(SAID, 2, Suite::Bookworm, &waivers);
        assert!(audit.passed);
        assert_eq!(audit.findings.len(), 1);
        assert_eq!(audit.findings[0].id, "(kex) curve25519-sha256");
        let mac = "(mac) hmac-sha1 -- [warn] using weak hashing algorithm\n";
        assert!(!read(&format!("{SAID}{mac}"), 2, Suite::Bookworm, &waivers).passed, "only exchanges are excused");
        assert!(!read(SAID, 3, Suite::Bookworm, &waivers).passed);
        assert!(!read(SAID, 2, Suite::Trixie, &waivers).passed);
    }
}
