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
    /// What systemd knows of a unit; `None` where it cannot be asked this way. `unread` says that units were enabled or
    /// disabled that it has not read since.
    pub(crate) fn status(&self, unit: &str, unread: bool) -> Option<UnitStatus> {
        let mut state = self.0.borrow_mut();
        // A systemd that has begun anew (an upgrade of it does that) has closed the connection: once more, over another one.
        for _ in 0..2 {
            if matches!(*state, State::Untried) {
                *state = connect().map_or(State::Unavailable, |connection| State::Open(Box::new(connection)));
            }
            let State::Open(connection) = &mut *state else { return None };
            match ask(connection, unit, unread) {
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

/// Asks for all properties at once and then takes the answers: one round trip, and another where systemd has not read yet
/// which units are enabled.
fn ask(connection: &mut RpcConn, unit: &str, unread: bool) -> Answer<UnitStatus> {
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
    let mut status = UnitStatus::default();
    for (property, serial) in PROPERTIES.into_iter().zip(asked) {
        let answer = connection.wait_response(serial, PATIENCE)?;
        if answer.typ == MessageType::Error {
            return Err(rustbus::connection::Error::UnexpectedMessageTypeReceived);
        }
        let value = answer.body.parser().get::<Variant<'_, '_>>()?;
        match property {
            "LoadState" => status.load = value.get()?,
            "ActiveState" => status.active = value.get()?,
            _ => status.enabled = value.get()?,
        }
    }
    if unread {
        status.enabled = links(connection, unit)?.unwrap_or(status.enabled);
    }
    Ok(status)
}

/// Whether a unit is enabled as its links say now, where its `UnitFileState` is of when systemd read its units last; `None`
/// where they say nothing that the unit does not know better, as of a second name. systemd looks at the disk for it, which
/// takes it twenty times as long.
fn links(connection: &mut RpcConn, unit: &str) -> Answer<Option<String>> {
    let mut call = MessageBuilder::new()
        .call("GetUnitFileState")
        .with_interface("org.freedesktop.systemd1.Manager")
        .on("/org/freedesktop/systemd1")
        .at("org.freedesktop.systemd1")
        .build();
    call.body.push_param(unit)?;
    let serial = connection.send_message(&mut call)?.write(PATIENCE).map_err(force_finish_on_error)?;
    let answer = connection.wait_response(serial, PATIENCE)?;
    // There are no links of a unit that has no file.
    if answer.typ == MessageType::Error {
        return Ok(None);
    }
    let state = answer.body.parser().get::<String>()?;
    Ok(Some(state).filter(|state| !matches!(state.as_str(), "" | "alias")))
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
