//! systemd, asked over D-Bus on its own socket: a fraction of a millisecond for a unit, where starting `systemctl` takes
//! twenty. Only asked: what is to be changed goes through `systemctl`, which waits for jobs and says what went wrong.

use std::cell::RefCell;
use std::fmt::Write;
use std::time::Duration;

use nix::sys::socket::UnixAddr;
use rustbus::connection::Timeout;
use rustbus::connection::ll_conn::{DuplexConn, force_finish_on_error};
use rustbus::message_builder::MessageBuilder;
use rustbus::wire::unmarshal::traits::Variant;
use rustbus::{MessageType, RpcConn};

use super::systemd::UnitStatus;

/// Where systemd listens to root, also where no message bus runs.
const SOCKET: &str = "/run/systemd/private";
/// How long systemd may take to answer.
const PATIENCE: Timeout = Timeout::Duration(Duration::from_secs(10));
/// What [`UnitStatus`] is made of.
const PROPERTIES: [&str; 3] = ["LoadState", "ActiveState", "UnitFileState"];

/// The connection to systemd, made when it is first asked.
#[derive(Default)]
pub(crate) struct Bus(RefCell<State>);

#[derive(Default)]
enum State {
    #[default]
    Untried,
    Open(Box<RpcConn>),
    /// No systemd runs, or it speaks otherwise.
    Unavailable,
}

type Answer<T> = Result<T, rustbus::connection::Error>;

impl Bus {
    /// What systemd knows of a unit; `None` where it cannot be asked this way.
    pub(crate) fn status(&self, unit: &str) -> Option<UnitStatus> {
        let mut state = self.0.borrow_mut();
        // A systemd that has begun anew (an upgrade of it does that) has closed the connection: once more, over another one.
        for _ in 0..2 {
            if matches!(*state, State::Untried) {
                *state = connect().map_or(State::Unavailable, |connection| State::Open(Box::new(connection)));
            }
            let State::Open(connection) = &mut *state else { return None };
            match ask(connection, unit) {
                Ok(status) => return Some(status),
                Err(_) => *state = State::Untried,
            }
        }
        *state = State::Unavailable;
        None
    }
}

fn connect() -> Answer<RpcConn> {
    Ok(RpcConn::new(DuplexConn::connect_to_bus(UnixAddr::new(SOCKET)?, false)?))
}

/// Asks for everything at once and then takes the answers: one round trip.
///
/// A unit's `UnitFileState` is what systemd saw when it read its units last, `GetUnitFileState` what the links say now. Of a
/// unit's second name the latter only says that it is one, and the unit itself knows more.
fn ask(connection: &mut RpcConn, unit: &str) -> Answer<UnitStatus> {
    let path = format!("/org/freedesktop/systemd1/unit/{}", label(unit));
    let mut asked = Vec::with_capacity(PROPERTIES.len());
    for property in PROPERTIES {
        let mut call = MessageBuilder::new()
            .call("Get")
            .with_interface("org.freedesktop.DBus.Properties")
            .on(path.as_str())
            .at("org.freedesktop.systemd1")
            .build();
        call.body.push_param2("org.freedesktop.systemd1.Unit", property)?;
        asked.push(connection.send_message(&mut call)?.write(PATIENCE).map_err(force_finish_on_error)?);
    }
    let mut call = MessageBuilder::new()
        .call("GetUnitFileState")
        .with_interface("org.freedesktop.systemd1.Manager")
        .on("/org/freedesktop/systemd1")
        .at("org.freedesktop.systemd1")
        .build();
    call.body.push_param(unit)?;
    let asked_links = connection.send_message(&mut call)?.write(PATIENCE).map_err(force_finish_on_error)?;
    let mut values = Vec::with_capacity(PROPERTIES.len());
    for serial in asked {
        let answer = connection.wait_response(serial, PATIENCE)?;
        if answer.typ == MessageType::Error {
            return Err(rustbus::connection::Error::UnexpectedMessageTypeReceived);
        }
        values.push(answer.body.parser().get::<Variant<'_, '_>>()?.get::<String>()?);
    }
    let answer = connection.wait_response(asked_links, PATIENCE)?;
    // There are no links of a unit that has no file.
    let links = if answer.typ == MessageType::Error { String::new() } else { answer.body.parser().get()? };
    let mut values = values.into_iter();
    let mut next = || values.next().unwrap_or_default();
    let mut status = UnitStatus { load: next(), active: next(), enabled: next() };
    if !matches!(links.as_str(), "" | "alias") {
        status.enabled = links;
    }
    Ok(status)
}

/// A unit's name as a part of an object's path (sd_bus_path_encode(3)).
fn label(unit: &str) -> String {
    let mut label = String::with_capacity(unit.len());
    for (at, byte) in unit.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (byte.is_ascii_digit() && at > 0) {
            label.push(byte.into());
        } else {
            // Writing to a String does not fail.
            let _ = write!(label, "_{byte:02x}");
        }
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_systemd_does() {
        assert_eq!(label("ssh.service"), "ssh_2eservice");
        assert_eq!(label("agent@acme-1.service"), "agent_40acme_2d1_2eservice");
        assert_eq!(label("9p.mount"), "_39p_2emount");
    }
}
