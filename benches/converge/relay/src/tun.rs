//! A TUN device: IP packets from the kernel, and to it (the kernel's Documentation/networking/tuntap.rst).

use std::ffi::{c_int, c_short};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{Setter, ioctl, opcode};

const TUNSETIFF: rustix::ioctl::Opcode = opcode::write::<c_int>(b'T', 202);
const IFF_TUN: c_short = 1;
/// Packets come without a header of the device's own.
const IFF_NO_PI: c_short = 0x1000;

/// `struct ifreq`, of which TUNSETIFF reads the first two fields.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: c_short,
    rest: [u8; 22],
}

/// A device; it goes with this value, wherever it was moved to.
pub(crate) struct Tun(OwnedFd);

impl Tun {
    /// Makes the device. It has no offloads, so every packet is one that could be on a wire.
    pub(crate) fn open(name: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let mut request = Request { name: [0; 16], flags: IFF_TUN | IFF_NO_PI, rest: [0; 22] };
        if name.len() >= request.name.len() {
            return Err(format!("{name:?} is too long for a device").into());
        }
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd =
            rustix::fs::open("/dev/net/tun", flags, Mode::empty()).map_err(|error| format!("/dev/net/tun: {error}"))?;
        // SAFETY: TUNSETIFF reads a `struct ifreq`, which `Request` is, size included.
        unsafe { ioctl(&fd, Setter::<TUNSETIFF, Request>::new(request)) }
            .map_err(|error| format!("making the device {name}: {error}"))?;
        Ok(Self(fd))
    }

    /// The next packet that the kernel sends, if one waits.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> Result<Option<usize>, Errno> {
        match rustix::io::read(&self.0, buffer) {
            Ok(length) => Ok(Some(length)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives the kernel a packet; false where it did not take it, as while the device is down.
    pub(crate) fn send(&self, packet: &[u8]) -> bool {
        rustix::io::write(&self.0, packet).is_ok()
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
