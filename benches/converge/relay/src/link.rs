//! One direction of the wire: packets that are under way.

use std::collections::VecDeque;
use std::time::Duration;

use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use crate::tun::Tun;

/// More than any packet of a device with the usual 1500 bytes.
const LONGEST: usize = 4096;
/// After so many packets the other direction has its turn.
const AT_ONCE: usize = 64;
/// What may be under way, in bytes: far more than ten TCP connections' windows, and an end to a flood.
const ROOM: usize = 256 << 20;

/// A point of the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(Duration);

impl Time {
    pub(crate) fn now() -> Self {
        let now = clock_gettime(ClockId::Monotonic);
        Self(Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0)))
    }

    /// How long after `other` this is; nothing where it is not.
    pub(crate) fn since(self, other: Self) -> Duration {
        self.0.saturating_sub(other.0)
    }
}

/// One direction.
#[derive(Default)]
pub(crate) struct Link {
    /// Each with the time at which it arrives; a packet never overtakes another.
    under_way: VecDeque<(Time, Box<[u8]>)>,
    held: usize,
    packets: u64,
    bytes: u64,
    dropped: u64,
}

impl Link {
    /// When the next packet arrives.
    pub(crate) fn due(&self) -> Option<Time> {
        self.under_way.front().map(|(due, _)| *due)
    }

    /// Takes what the kernel has to send.
    pub(crate) fn take(&mut self, from: &Tun, delay: Duration) -> Result<(), Errno> {
        let mut buffer = [0; LONGEST];
        for _ in 0..AT_ONCE {
            let Some(length) = from.receive(&mut buffer)? else { break };
            self.packets += 1;
            self.bytes += length as u64;
            if self.held + length > ROOM {
                self.dropped += 1;
                continue;
            }
            self.held += length;
            self.under_way.push_back((Time(Time::now().0 + delay), buffer[..length].into()));
        }
        Ok(())
    }

    /// Hands over what has arrived.
    pub(crate) fn give(&mut self, to: &Tun) {
        let now = Time::now();
        while self.under_way.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, packet)) = self.under_way.pop_front() else { break };
            self.held -= packet.len();
            self.dropped += u64::from(!to.send(&packet));
        }
    }
}

impl std::fmt::Display for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.packets, self.bytes, self.dropped)
    }
}
