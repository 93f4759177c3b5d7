//! A command on the node, on a channel of its own.

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};

use super::client::{Client, Output, failed};
use crate::{Error, Kind, Result};

/// How much of a command's standard error is kept, in bytes: its end, where the reason is.
const TAIL: usize = 8 << 10;
/// The most that may wait unread while something is sent, in bytes.
const MAX_UNREAD: usize = 128 << 20;
/// What SSH calls a command's standard error (RFC 4254, section 5.2).
const STDERR: u32 = 1;

/// A command that runs on the node.
pub(super) struct Process {
    read: ChannelReadHalf,
    write: ChannelWriteHalf<Msg>,
    seen: Seen,
}

/// What came back so far.
#[derive(Default)]
struct Seen {
    stdout: BytesMut,
    stderr: Vec<u8>,
    status: Option<u32>,
    signal: Option<String>,
    closed: bool,
}

impl Process {
    pub(super) async fn start(client: &Client, command: &str) -> Result<Self> {
        let what = format!("starting a command on {client}");
        let channel = client.handle().channel_open_session().await.map_err(|error| failed(&what, error))?;
        channel.exec(true, command).await.map_err(|error| failed(&what, error))?;
        let (read, write) = channel.split();
        Ok(Self { read, write, seen: Seen::default() })
    }

    /// Sends to the standard input. What the command writes meanwhile is taken in: a full pipe in that direction would
    /// otherwise stop both sides.
    pub(super) async fn send(&mut self, data: Bytes) -> Result<()> {
        let mut sending = pin!(self.write.data_bytes(data));
        loop {
            tokio::select! {
                sent = &mut sending => return sent.map_err(|error| failed("sending to a command", error)),
                message = self.read.wait() => {
                    if !self.seen.take(message, MAX_UNREAD)? {
                        return Err(Error::failed("the command ended before it had read its input"));
                    }
                }
            }
        }
    }

    pub(super) async fn end_input(&mut self) {
        // Where the command has ended, its input has as well.
        let _ = self.write.eof().await;
    }

    /// Waits for the next message; false once the command has ended and everything is read.
    pub(super) async fn receive(&mut self, most: usize) -> Result<bool> {
        if self.seen.closed {
            return Ok(false);
        }
        let message = self.read.wait().await;
        self.seen.take(message, most)
    }

    /// Waits until the command has ended, and drops what it still writes.
    pub(super) async fn finish(&mut self) {
        while matches!(self.receive(MAX_UNREAD).await, Ok(true)) {
            self.seen.stdout.clear();
        }
    }

    pub(super) fn stdout(&mut self) -> &mut BytesMut {
        &mut self.seen.stdout
    }

    pub(super) fn status(&self) -> Option<u32> {
        self.seen.status
    }

    /// Whether the node told how the command ended. Where it did not, the connection was lost.
    pub(super) fn has_ended_by_itself(&self) -> bool {
        self.seen.status.is_some() || self.seen.signal.is_some()
    }

    /// The end of the standard error.
    pub(super) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.seen.stderr).trim().to_owned()
    }

    /// How the command ended, in words.
    pub(super) fn ending(&self) -> String {
        match (self.seen.status, &self.seen.signal) {
            (Some(status), _) => format!("it ended with status {status}"),
            (None, Some(signal)) => format!("the signal {signal} ended it"),
            (None, None) => "the connection was lost".to_owned(),
        }
    }

    /// The error for a connection that was lost in the middle of something.
    pub(super) fn lost(&self, meanwhile: &str) -> Error {
        let error = Error::new(Kind::Unreachable, format!("the connection was lost while {meanwhile}"))
            .hint("run the same command again: what was done already is found and not done twice");
        let stderr = self.stderr();
        if stderr.is_empty() { error } else { error.because(stderr) }
    }

    pub(super) fn into_output(self) -> Output {
        let stderr = self.stderr();
        Output { status: self.seen.status, stdout: self.seen.stdout.into(), stderr }
    }
}

impl Seen {
    fn take(&mut self, message: Option<ChannelMsg>, most: usize) -> Result<bool> {
        match message {
            Some(ChannelMsg::Data { data }) => {
                if self.stdout.len() + data.len() > most {
                    return Err(Error::failed(format!("a command on the node wrote more than {most} bytes")));
                }
                self.stdout.extend_from_slice(&data);
            }
            Some(ChannelMsg::ExtendedData { data, ext: STDERR }) => {
                self.stderr.extend_from_slice(&data);
                let surplus = self.stderr.len().saturating_sub(TAIL);
                self.stderr.drain(..surplus);
            }
            Some(ChannelMsg::ExitStatus { exit_status }) => self.status = Some(exit_status),
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => self.signal = Some(format!("{signal_name:?}")),
            Some(ChannelMsg::Failure) => {
                return Err(Error::failed("the node refuses to run commands for this user")
                    .hint("look for ForceCommand and for `command=` before the key in authorized_keys"));
            }
            Some(ChannelMsg::Close) | None => {
                self.closed = true;
                return Ok(false);
            }
            Some(_) => {}
        }
        Ok(true)
    }
}
