//! A report for people, in Markdown.

use std::fmt::Write;

use super::Report;

/// The page of an image's report.
pub fn page(image: &str, key: &str, report: &Report) -> String {
    let mut text =
        format!("# Audit of {image}\n\nBuild `{key}`.\n\n| auditor | score | bar | |\n| --- | --- | --- | --- |\n");
    for audit in &report.audits {
        let version = audit.version.as_ref().map_or_else(String::new, |version| format!(" {version}"));
        let passed = if audit.passed { "passed" } else { "**failed**" };
        let _ = writeln!(text, "| {}{version} | {} | {} | {passed} |", audit.auditor, audit.score, audit.bar);
    }
    for audit in report.audits.iter().filter(|audit| !audit.findings.is_empty()) {
        let _ = write!(text, "\n## {}\n\n| what | found | left so because |\n| --- | --- | --- |\n", audit.auditor);
        for finding in &audit.findings {
            let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
            let waived = finding.waived.as_deref().unwrap_or("-");
            let _ = writeln!(text, "| {} | {} | {} |", cell(&finding.id), cell(&finding.text), cell(waived));
        }
    }
    text
}
