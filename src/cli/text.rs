//! Small things that several commands print alike.

use crate::clock::Timestamp;

/// The beginning of a long hexadecimal key: enough to tell builds apart.
pub(super) fn short(key: &str) -> &str {
    key.get(..12).unwrap_or(key)
}

/// A moment, to the second.
pub(super) fn time(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
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
