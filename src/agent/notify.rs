//! Telling systemd that the service is ready (sd_notify(3)).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::Result;
use crate::error::Context;

/// Tells systemd that the service is ready; nothing to do where it was not started by systemd.
///
/// # Errors
/// Fails where systemd's socket does not take the message.
pub(super) fn ready(socket: Option<&str>) -> Result<()> {
    let Some(path) = socket else { return Ok(()) };
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(path),
    };
    let told = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(b"READY=1", &address));
    told.map(drop).context("telling systemd that the service is ready")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_hears_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        ready(path.to_str()).unwrap();
        let mut message = [0; 64];
        let length = socket.recv(&mut message).unwrap();
        assert_eq!(&message[..length], b"READY=1");
        assert!(ready(Some("/nowhere/notify")).is_err());
        ready(None).unwrap();
    }
}
