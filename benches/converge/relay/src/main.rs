//! `relay NEAR FAR`: a wire with a length, made of two TUN devices.
//!
//! What the kernel sends into one device comes out of the other one after a delay, in order, as the kernel's `netem` would
//! have it; so it works where the kernel has no `netem`. The devices live as long as the process. It obeys lines on its
//! standard input, answers each by one line, and ends with its input:
//!
//! | line | answer |
//! | --- | --- |
//! | `delay MICROSECONDS` | `ok`; holds for packets that come from now on |
//! | `count` | `PACKETS BYTES DROPPED` from near to far, then the same from far to near; IP packets, headers included |

mod link;
mod tun;

use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;

use link::{Link, Time};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read};
use tun::Tun;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let [near, far] = names.as_slice() else { return Err("usage: relay NEAR FAR".into()) };
    // By default the kernel may let a sleeper sleep 50 µs longer, twice for each round trip.
    rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))?;
    let (near, far) = (Tun::open(near)?, Tun::open(far)?);
    say("ready")?;
    Relay { near: &near, far: &far, there: Link::default(), back: Link::default(), delay: Duration::ZERO }.run()
}

/// A line for whoever started the relay.
fn say(line: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

struct Relay<'a> {
    near: &'a Tun,
    far: &'a Tun,
    /// From near to far.
    there: Link,
    back: Link,
    /// Each way.
    delay: Duration,
}

impl Relay<'_> {
    fn run(mut self) -> Result<(), Box<dyn std::error::Error>> {
        let stdin = rustix::stdio::stdin();
        let mut line = Vec::new();
        loop {
            let due = self.there.due().into_iter().chain(self.back.due()).min();
            let wait = due.map(|due| due.since(Time::now()).try_into()).transpose()?;
            let mut ready = [self.near.as_fd(), self.far.as_fd(), stdin.as_fd()]
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
            match poll(&mut ready, wait.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let [from_near, from_far, command] = ready.map(|fd| !fd.revents().is_empty());
            if from_near {
                self.there.take(self.near, self.delay)?;
            }
            if from_far {
                self.back.take(self.far, self.delay)?;
            }
            self.there.give(self.far);
            self.back.give(self.near);
            if command {
                let mut buffer = [0; 256];
                match read(stdin, &mut buffer)? {
                    0 => return Ok(()),
                    length => line.extend_from_slice(&buffer[..length]),
                }
                while let Some(end) = line.iter().position(|&byte| byte == b'\n') {
                    let text: Vec<u8> = line.drain(..=end).collect();
                    say(&self.obey(String::from_utf8_lossy(&text).trim())?)?;
                }
            }
        }
    }

    fn obey(&mut self, command: &str) -> Result<String, Box<dyn std::error::Error>> {
        match command.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["delay", micros] => {
                self.delay = Duration::from_micros(micros.parse()?);
                Ok("ok".into())
            }
            ["count"] => Ok(format!("{} {}", self.there, self.back)),
            _ => Err(format!("no such command: {command:?}").into()),
        }
    }
}
