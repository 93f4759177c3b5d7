//! The nights as a page, in Markdown: the last one, and the trend.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::report::{Night, Report};
use crate::cli::text::{short, size, time};

/// How many nights the trend shows.
const SHOWN: usize = 30;

/// The page of these nights, oldest first.
pub(super) fn page(reports: &[Report]) -> String {
    let mut text = String::from("# Nightly images\n");
    let Some(last) = reports.last() else { return text };
    let _ = write!(text, "\n## {}\n", time(last.started));
    for night in &last.images {
        let _ = write!(text, "\n### {}: {}\n", night.image, night.outcome.word());
        if let (Some(gate), Some(why)) = (&night.gate, &night.why) {
            let _ = write!(text, "\nThe gate **{gate}** was not passed: {why}\n");
        }
        let _ = write!(text, "\nLock: {}.\n", night.changes.summary());
        for lines in [night.changes.lines().join("\n"), night.diff.clone().unwrap_or_default()] {
            if !lines.is_empty() {
                let _ = write!(text, "\n```text\n{lines}\n```\n");
            }
        }
    }
    let images: BTreeSet<&str> =
        reports.iter().flat_map(|report| report.images.iter().map(|night| night.image.as_str())).collect();
    for image in images {
        let _ = write!(
            text,
            "\n## Trend of {image}\n\n| night | outcome | build | size | boot (bios, uefi) | Lynis |\n| --- | --- | --- | --- | --- | --- |\n"
        );
        for report in reports.iter().rev().take(SHOWN) {
            for night in report.images.iter().filter(|night| night.image == image) {
                let _ = writeln!(text, "{}", trend(report, night));
            }
        }
    }
    text
}

fn trend(report: &Report, night: &Night) -> String {
    let boot =
        |firmware: &str| night.boot.get(firmware).map_or_else(|| "-".into(), |seconds| format!("{seconds:.0} s"));
    format!(
        "| {} | {} | {} | {} | {}, {} | {} |",
        time(report.started),
        night.gate.as_ref().map_or_else(|| night.outcome.word().to_owned(), |gate| format!("failed at {gate}")),
        night.key.as_deref().map_or("-", short),
        night.size.map_or_else(|| "-".into(), size),
        boot("bios"),
        boot("uefi"),
        night.scores.get("lynis").map_or_else(|| "-".into(), f64::to_string),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::nightly::report::Outcome;
    use crate::clock::Timestamp;

    #[test]
    fn the_last_night_and_the_trend() {
        let at = |seconds| Timestamp::from_timestamp(1_760_000_000 + seconds, 0).unwrap();
        let mut good = Night::new("agent-node");
        good.outcome = Outcome::Promoted;
        good.key = Some("0123456789abcdef".repeat(3)[..40].to_owned());
        good.size = Some(200 << 20);
        good.boot.insert("bios".into(), 73.6);
        good.scores.insert("lynis".into(), 89.0);
        let mut bad = Night::new("agent-node");
        bad.gate = Some("audit".into());
        bad.why = Some("lynis 80 (bar: 85 or more, no test left out)".into());
        let night = |day: i64, night: &Night| Report {
            started: at(day * 86_400),
            finished: at(day * 86_400 + 3600),
            images: vec![night.clone()],
        };
        insta::assert_snapshot!(page(&[night(0, &good), night(1, &bad)]));
        assert_eq!(page(&[]), "# Nightly images\n");
    }
}
