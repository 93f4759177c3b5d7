//! Small things that several commands print alike.

use std::net::{IpAddr, SocketAddr};

use crate::api::views::StepView;
use crate::clock::Timestamp;

/// The port of SSH, which goes without saying.
const SSH_PORT: u16 = 22;

/// Where a node is reached, best first.
pub(super) fn places(addresses: &[IpAddr], ssh_port: u16) -> String {
    let place = |address: &IpAddr| match ssh_port {
        SSH_PORT => address.to_string(),
        port => SocketAddr::new(*address, port).to_string(),
    };
    addresses.iter().map(place).collect::<Vec<_>>().join(" ")
}

/// The beginning of a long hexadecimal key: enough to tell builds apart.
pub(super) fn short(key: &str) -> &str {
    key.get(..12).unwrap_or(key)
}

/// A moment, to the second.
pub(super) fn time(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// How long a step took, in seconds; none where it has not ended.
pub(super) fn seconds(step: &StepView) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let seconds = |(from, to): (Timestamp, Timestamp)| (to - from).num_milliseconds() as f64 / 1000.0;
    step.started_at.zip(step.ended_at).map(seconds)
}

/// A size in bytes, in the largest unit that leaves a number of 1 or more.
#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..0x10_0000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        0x10_0000..0x4000_0000 => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_told_where_it_is_not_the_usual_one() {
        let addresses = ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        assert_eq!(places(&addresses, 22), "10.0.0.1 fd00::1");
        assert_eq!(places(&addresses, 2222), "10.0.0.1:2222 [fd00::1]:2222");
    }
}
