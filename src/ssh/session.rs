//! A session with the node agent: frames over one SSH channel.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tracing::Instrument;

use super::agent::MISSING;
use super::client::Client;
use super::process::Process;
use super::watched;
use crate::telemetry::traces;
use crate::wire::message::{Hello, Reply, Request, Welcome};
use crate::wire::plan::TaskEvent;
use crate::wire::{PROTOCOL, frame};
use crate::{Error, Result};

/// How long an agent may take to end once it was told that nothing more comes.
const PARTING: Duration = Duration::from_secs(5);
/// How much of a file's content goes into one frame, in bytes.
const PIECE: usize = 256 << 10;
/// The length before a frame, in bytes.
const LENGTH_LEN: usize = 4;
/// The most that may wait unread: one frame, and what came along with its end.
const MAX_UNREAD: usize = frame::MAX_LEN + (1 << 20);

/// A session with the node agent. Requests are answered one after the other.
pub struct NodeSession {
    client: Client,
    pub(super) process: Process,
    welcome: Welcome,
    /// Set while a request is under way. A caller that gave up waiting leaves it set, and the answer that is still to
    /// come must not be taken for that of the next request.
    busy: bool,
}

/// Opens content by its SHA-256, in hexadecimal.
pub type Contents<'a> = &'a (dyn Fn(&str) -> Result<std::fs::File> + Send + Sync);

/// How the start of an agent ended.
pub(super) enum Opened {
    Session(Box<NodeSession>),
    AgentMissing,
}

impl NodeSession {
    pub(super) async fn open(client: &Client, command: &str, hello: &Hello) -> Result<Opened> {
        let mut process = Process::start(client, command).await?;
        // An agent that is not there does not read: its status tells more than the lost pipe.
        let _ = process.send(frame::encode(hello)?.into()).await;
        let Some(first) = next::<serde_json::Value>(&mut process).await? else {
            return match process.status() {
                Some(MISSING) => Ok(Opened::AgentMissing),
                Some(_) => Err(client.agent_did_not_start(&process)),
                None => Err(process.lost(&format!("the node agent on {client} was started"))),
            };
        };
        let not_ours = |error: serde_json::Error| {
            Error::failed(format!("the node agent on {client} greets in another way than protocol {PROTOCOL} does"))
                .because(error)
        };
        if first.get("is").is_some() {
            return Err(match serde_json::from_value(first).map_err(not_ours)? {
                Reply::Refused { message, hints } | Reply::Failed { message, hints } => {
                    told(message, hints).context(format!("the node agent on {client} refuses the session"))
                }
                _ => Error::failed(format!("the node agent on {client} answers before it was asked")),
            });
        }
        let welcome: Welcome = serde_json::from_value(first).map_err(not_ours)?;
        if welcome.protocol != PROTOCOL {
            return Err(Error::failed(format!(
                "the node agent on {client} (version {}) speaks protocol {}, this program speaks {PROTOCOL}",
                welcome.version, welcome.protocol
            )));
        }
        Ok(Opened::Session(Box::new(Self { client: client.clone(), process, welcome, busy: false })))
    }

    /// How the agent greeted.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// The connection that the session runs over.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Asks for something, hands every event on, and returns the closing reply.
    ///
    /// Where the future is dropped before it is done, the session is spent, and later requests fail.
    ///
    /// # Errors
    /// Fails where the node says that the request failed (with the node's own words and hints), or where the connection is
    /// lost.
    pub async fn request(&mut self, request: Request, on_event: &mut (dyn FnMut(TaskEvent) + Send)) -> Result<Reply> {
        let none = |_: &str| Err(Error::failed("the node asks for content that it was not told of"));
        self.request_with(request, &none, on_event).await
    }

    /// As [`NodeSession::request`], and sends the node what content it asks for.
    ///
    /// # Errors
    /// As [`NodeSession::request`], and where there is no such content.
    pub async fn request_with(
        &mut self,
        request: Request,
        contents: Contents<'_>,
        on_event: &mut (dyn FnMut(TaskEvent) + Send),
    ) -> Result<Reply> {
        let span = watched::request(&self.client, request.name());
        let ended = self.answer_to(&request, contents, on_event).instrument(span.clone()).await;
        traces::ended_as(&span, &ended);
        ended
    }

    async fn answer_to(
        &mut self,
        request: &Request,
        contents: Contents<'_>,
        on_event: &mut (dyn FnMut(TaskEvent) + Send),
    ) -> Result<Reply> {
        let sent = self.begin(request).await?;
        loop {
            let Some(reply) = next(&mut self.process).await? else { return Err(self.ended(sent)) };
            match reply {
                Reply::Events { events } => events.into_iter().for_each(&mut *on_event),
                Reply::Want { hash, from } => {
                    self.send_content(contents(&hash)?, from).await?;
                }
                reply => return self.judge(reply),
            }
        }
    }

    /// Sends a request. Where sending fails, the agent has ended, and what it said last tells why: that is still to be read.
    pub(super) async fn begin(&mut self, request: &Request) -> Result<Result<()>> {
        if self.busy {
            return Err(Error::failed(format!("the session with {} was left in the middle of a request", self.client))
                .hint("run the same command again"));
        }
        let frame = frame::encode(request)?;
        self.busy = true;
        Ok(self.process.send(frame.into()).await)
    }

    /// The reply that ends a request, or what the node says of its failure.
    pub(super) fn judge(&mut self, reply: Reply) -> Result<Reply> {
        match reply {
            Reply::Failed { message, hints } => {
                self.busy = false;
                Err(told(message, hints))
            }
            Reply::Refused { message, hints } => {
                Err(told(message, hints).context(format!("the node agent on {} ended the session", self.client)))
            }
            reply => {
                self.busy = false;
                Ok(reply)
            }
        }
    }

    /// The error for an agent that has ended in the middle of a request. `sent` is how sending it went.
    pub(super) fn ended(&self, sent: Result<()>) -> Error {
        match (sent, self.process.has_ended_by_itself()) {
            (_, true) => {
                let error = Error::failed(format!(
                    "the node agent on {} ended in the middle of a request: {}",
                    self.client,
                    self.process.ending()
                ));
                match self.process.stderr() {
                    stderr if stderr.is_empty() => error,
                    stderr => error.because(stderr),
                }
            }
            (Err(error), false) => error.context(format!("the connection to {} was lost", self.client)),
            (Ok(()), false) => self.process.lost(&format!("the node agent on {} worked", self.client)),
        }
    }

    /// Sends a file's content from a byte on, a piece of it at a time in memory.
    async fn send_content(&mut self, file: std::fs::File, from: u64) -> Result<()> {
        let mut file = tokio::fs::File::from_std(file);
        file.seek(std::io::SeekFrom::Start(from)).await?;
        let mut piece = vec![0; PIECE];
        loop {
            let mut length = 0;
            // A file is read in small pieces, and each frame costs a little.
            while length < PIECE {
                match file.read(&mut piece[length..]).await? {
                    0 => break,
                    more => length += more,
                }
            }
            let sent = self.process.send(frame::encode_piece(&piece[..length])?.into()).await;
            // Where the agent has ended, what it said last tells why; that is read next.
            if length == 0 || sent.is_err() {
                return Ok(());
            }
        }
    }

    /// Ends the session and waits until the agent has ended; the connection stays.
    pub async fn close(mut self) {
        self.process.end_input().await;
        // An agent that does not end in time is ended by the connection's end.
        let _ = tokio::time::timeout(PARTING, self.process.finish()).await;
    }
}

/// The error for an answer that does not fit what was asked.
pub fn out_of_turn(reply: &Reply) -> Error {
    Error::failed(format!("the node agent gave an answer that does not fit the request: {reply:?}"))
}

fn told(message: String, hints: Vec<String>) -> Error {
    hints.into_iter().fold(Error::failed(message), Error::hint)
}

/// Reads one frame; `None` where the stream ended between two.
pub(super) async fn next<T: DeserializeOwned>(process: &mut Process) -> Result<Option<T>> {
    next_body(process).await?.map(|body| frame::decode(&body)).transpose()
}

/// As [`next`], and gives what follows the frame's length.
pub(super) async fn next_body(process: &mut Process) -> Result<Option<BytesMut>> {
    loop {
        if let Some(&header) = process.stdout().first_chunk::<LENGTH_LEN>() {
            let length = frame::length(header)?;
            if process.stdout().len() >= LENGTH_LEN + length {
                let buffer = process.stdout();
                buffer.advance(LENGTH_LEN);
                return Ok(Some(buffer.split_to(length)));
            }
        }
        if !process.receive(MAX_UNREAD).await? {
            let rest = process.stdout();
            // Fewer bytes than a length, from a process that ended: text, not a frame.
            if rest.is_empty() || process.has_ended_by_itself() {
                return Ok(None);
            }
            return Err(process.lost("a frame was read"));
        }
    }
}
