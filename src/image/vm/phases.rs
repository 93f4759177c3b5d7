//! How long a boot took, and what for, as `systemd-analyze` tells it.

use std::collections::BTreeMap;

use serde::Serialize;

/// A unit, and its share of the boot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// The unit.
    pub unit: String,
    /// When it was there, in seconds of userspace; unknown for what was there before.
    pub at: Option<f64>,
    /// How long it took to start, in seconds; nothing for what takes no time, as targets.
    pub took: Option<f64>,
}

/// The times of `systemd-analyze time`: `Startup finished in 1.2s (kernel) + 3min 4.5s (userspace) = …`.
pub(super) fn phases(said: &str) -> BTreeMap<String, f64> {
    let Some(line) = said.lines().find_map(|line| line.strip_prefix("Startup finished in ")) else {
        return BTreeMap::new();
    };
    let sum = line.split(" = ").next().unwrap_or(line);
    sum.split(" + ")
        .filter_map(|part| {
            let (time, name) = part.split_once(" (")?;
            Some((name.trim_end_matches(')').to_owned(), time_of(time)?))
        })
        .collect()
}

/// The lines of `systemd-analyze critical-chain`: `└─network.target @4.1s +1.2s`.
pub(super) fn chain(said: &str) -> Vec<Step> {
    said.lines()
        .filter_map(|line| {
            let line = line.trim_start_matches(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
            let (unit, times) = line.split_once(" @")?;
            let (at, took) = times.split_once(" +").unwrap_or((times, ""));
            Some(Step { unit: unit.to_owned(), at: time_of(at), took: time_of(took) })
        })
        .collect()
}

/// The lines of `systemd-analyze blame`: `1min 2.3s cloud-init.service`.
pub(super) fn blame(said: &str) -> Vec<Step> {
    said.lines()
        .filter_map(|line| {
            let (took, unit) = line.trim().rsplit_once(' ')?;
            Some(Step { unit: unit.to_owned(), at: None, took: Some(time_of(took)?) })
        })
        .collect()
}

/// A time span of systemd (systemd.time(7)) in seconds, to the millisecond, as systemd tells them.
fn time_of(text: &str) -> Option<f64> {
    let pieces: Vec<&str> = text.split_whitespace().collect();
    let seconds = pieces.iter().map(|piece| span(piece)).sum::<Option<f64>>()?;
    (!pieces.is_empty()).then_some((seconds * 1000.0).round() / 1000.0)
}

/// A piece of one.
fn span(text: &str) -> Option<f64> {
    [("min", 60.0), ("ms", 0.001), ("us", 0.000_001), ("h", 3600.0), ("s", 1.0)]
        .into_iter()
        .find_map(|(unit, factor)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemds_times_are_read() {
        let said = "Startup finished in 6.012s (firmware) + 1min 2.5s (kernel) + 350ms (initrd) + 12.1s (userspace) = 1min 20s \nmulti-user.target reached after 11s in userspace.\n";
        let expected = [("firmware", 6.012), ("initrd", 0.35), ("kernel", 62.5), ("userspace", 12.1)];
        assert_eq!(phases(said), expected.map(|(name, seconds)| (name.to_owned(), seconds)).into_iter().collect());
        assert!(phases("Bootup is not yet finished").is_empty());
    }

    #[test]
    fn what_a_unit_waited_for_is_read() {
        let said = "The time when unit became active or started is printed after the \"@\" character.\n\
                    The time the unit took to start is printed after the \"+\" character.\n\n\
                    ssh.service +1.5s\n└─cloud-init.service @1min 2.5s +31.25s\n  └─sysinit.target @9s\n    └─-.mount @120ms\n";
        let step = |unit: &str, at, took| Step { unit: unit.into(), at: Some(at), took };
        let expected = [
            step("cloud-init.service", 62.5, Some(31.25)),
            step("sysinit.target", 9.0, None),
            step("-.mount", 0.12, None),
        ];
        assert_eq!(chain(said), expected);
        assert!(chain("Bootup is not yet finished").is_empty());
    }

    #[test]
    fn what_took_longest_is_read() {
        let said = "1min 2.345s cloud-init.service\n      980ms dev-vda2.device\n";
        let expected = [("cloud-init.service", 62.345), ("dev-vda2.device", 0.98)];
        assert_eq!(blame(said), expected.map(|(unit, took)| Step { unit: unit.into(), at: None, took: Some(took) }));
        assert!(blame("Bootup is not yet finished").is_empty());
    }
}
