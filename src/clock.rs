//! The time, behind a seam.
//!
//! Whatever is written down carries a time from a [`Clock`], so that tests say what time it is.

use chrono::{DateTime, SubsecRound, Utc};

/// A moment in UTC, to the millisecond: what the store keeps and JSON shows.
pub type Timestamp = DateTime<Utc>;

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Utc::now().trunc_subsecs(3)
    }
}
