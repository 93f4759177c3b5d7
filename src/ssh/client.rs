//! A connection to a node that has proved its host key, logged in.

use std::borrow::Cow;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use russh::client::{Config, Handle, Handler, connect_stream};
use russh::keys::{Algorithm, PublicKeyOrCertificate};
use russh::{Disconnect, Preferred};
use tokio::time::{Instant, sleep, timeout};
use tracing::Instrument;

use super::process::Process;
use super::watched::{self, Connecting};
use super::way::{self, Stream};
use super::{ConnectError, HostKeys, Login, Target};
use crate::keypair::PublicKey;
use crate::telemetry::traces;
use crate::{Error, Result};

/// How much a node may send on a channel before it waits for us, in bytes. A plan's events and an exported file must
/// not wait for a round trip over a long line; nothing is allocated ahead.
const WINDOW: u32 = 32 << 20;
/// The most that a command may write to its standard output, in bytes.
const MAX_OUTPUT: usize = 16 << 20;
/// Between two attempts on a node that boots.
const POLL: Duration = Duration::from_millis(150);
/// A lost SYN is sent again by the system only after a second; a new attempt is made sooner than a second such wait.
const POLL_CONNECT: Duration = Duration::from_secs(1);

/// How long to wait for what.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// For a TCP connection to one address.
    pub connect: Duration,
    /// For key exchange and login, together.
    pub handshake: Duration,
    /// Silence after which the peer is asked for a sign of life; the connection is given up after three without one.
    pub keepalive: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), handshake: Duration::from_secs(20), keepalive: Duration::from_secs(10) }
    }
}

/// What a command on the node left.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its exit status; `None` where a signal ended it.
    pub status: Option<u32>,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// The end of its standard error (8 KiB at most), with what is not UTF-8 replaced.
    pub stderr: String,
}

/// A connection to a node, logged in. Clones share it.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle<Checker>>,
    at: String,
    user: String,
    host_key: PublicKey,
    /// The connection that this one goes through; it ends with this one.
    _via: Option<Box<Client>>,
}

impl Client {
    /// Connects to the first address that answers, through the machines on the way where there are any, and logs in.
    ///
    /// # Errors
    /// Fails as [`ConnectError`] tells. A wrong host key on any address ends the attempt; an address that does not answer
    /// leads to the next, and where none does, the first one's error is given.
    pub async fn connect(
        target: &Target,
        login: &Login,
        accepted: &HostKeys,
        timeouts: &Timeouts,
    ) -> Result<Client, ConnectError> {
        if !target.via.is_empty() {
            let host = target.seen_from_hop().ok_or(ConnectError::NoAddress)?;
            let hop = way::through(&target.via, timeouts).await?;
            let at = way::place(&host, target.port);
            let stream = way::forward(&hop, &host, target.port, timeouts).await?;
            return log_in(stream, at, &target.user, login, accepted, timeouts, Some(hop)).await;
        }
        let mut first = None;
        for at in target.sockets() {
            let attempt = async {
                let socket = way::direct(at, timeouts).await?;
                log_in(socket, at.to_string(), &target.user, login, accepted, timeouts, None).await
            };
            match attempt.await {
                Ok(client) => return Ok(client),
                Err(error) if error.is_transient() => {
                    tracing::debug!(%at, %error, "no connection");
                    first.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(first.unwrap_or(ConnectError::NoAddress))
    }

    /// As [`Client::connect`], but tries again while the node boots, until the deadline.
    ///
    /// # Errors
    /// Fails at once where waiting would not help (a wrong host key above all), and with the last attempt's error at the
    /// deadline.
    pub async fn connect_when_up(
        target: &Target,
        login: &Login,
        accepted: &HostKeys,
        timeouts: &Timeouts,
        deadline: Instant,
    ) -> Result<Client, ConnectError> {
        let connecting = Connecting::begin(target);
        let mut attempts = 0;
        let trying = Self::try_until(target, login, accepted, timeouts, deadline, &mut attempts);
        let ended = trying.instrument(connecting.span.clone()).await;
        connecting.end(&ended, attempts);
        ended
    }

    async fn try_until(
        target: &Target,
        login: &Login,
        accepted: &HostKeys,
        timeouts: &Timeouts,
        deadline: Instant,
        attempts: &mut u32,
    ) -> Result<Client, ConnectError> {
        loop {
            *attempts += 1;
            let left = deadline.saturating_duration_since(Instant::now()).max(POLL);
            let attempt = Timeouts {
                connect: timeouts.connect.min(POLL_CONNECT).min(left),
                handshake: timeouts.handshake.min(left),
                keepalive: timeouts.keepalive,
            };
            match Self::connect(target, login, accepted, &attempt).await {
                Err(error) if error.is_transient() && Instant::now() + POLL < deadline => sleep(POLL).await,
                result => return result,
            }
        }
    }

    /// Runs a command by the user's shell, with `stdin` as its standard input.
    ///
    /// # Errors
    /// Fails where the connection is lost, or the command writes more than 16 MiB. A command that fails is no error here.
    pub async fn exec(&self, command: &str, stdin: impl Into<Bytes>) -> Result<Output> {
        let span = watched::command(self);
        let ended = self.run(command, stdin.into()).instrument(span.clone()).await;
        traces::ended_as(&span, &ended);
        ended
    }

    async fn run(&self, command: &str, stdin: Bytes) -> Result<Output> {
        let mut process = Process::start(self, command).await?;
        // A command that does not read its input ends before it is sent: its status tells more than the lost pipe.
        let sent = process.send(stdin).await;
        if sent.is_ok() {
            process.end_input().await;
        }
        while process.receive(MAX_OUTPUT).await? {}
        if !process.has_ended_by_itself() {
            return Err(process.lost(&format!("a command ran on {self}")));
        }
        Ok(process.into_output())
    }

    /// The host key that the node proved.
    pub fn host_key(&self) -> &PublicKey {
        &self.host_key
    }

    /// Where it leads: an address and a port.
    pub(super) fn at(&self) -> &str {
        &self.at
    }

    /// The user who is logged in.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Ends the connection, and with it everything that still runs over it.
    pub async fn close(self) {
        // Where the connection is gone already, there is nothing to end.
        let _ = self.handle.disconnect(Disconnect::ByApplication, "done", "").await;
    }

    pub(super) fn handle(&self) -> &Handle<Checker> {
        &self.handle
    }
}

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.user, self.at)
    }
}

/// Has the peer prove its host key, and logs in.
pub(super) async fn log_in(
    stream: impl Stream + 'static,
    at: String,
    user: &str,
    login: &Login,
    accepted: &HostKeys,
    timeouts: &Timeouts,
    via: Option<Client>,
) -> Result<Client, ConnectError> {
    let presented = Arc::new(Mutex::new(None));
    let checker = Checker { accepted: accepted.clone(), presented: presented.clone() };
    let presented = move || presented.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let logged_in = async {
        let config = Arc::new(config(accepted, timeouts));
        let connected = connect_stream(config, stream, checker).await;
        let mut handle = connected.map_err(|error| match presented() {
            Some(key) if !accepted.contains(&key) => ConnectError::WrongHostKey {
                at: at.clone(),
                presented: Box::new(key),
                expected: accepted.fingerprints(),
            },
            _ => from_russh(&at, error, "greeting"),
        })?;
        login.log_in(&mut handle, &at, user).await?;
        Ok(handle)
    };
    let handle = within(&at, timeouts.handshake, "logging in", logged_in).await??;
    let host_key = presented().ok_or_else(|| ConnectError::Dropped { at: at.clone(), step: "greeting" })?;
    Ok(Client { handle: Arc::new(handle), at, user: user.to_owned(), host_key, _via: via.map(Box::new) })
}

pub(super) async fn within<T>(
    at: &str,
    most: Duration,
    step: &'static str,
    work: impl Future<Output = T>,
) -> Result<T, ConnectError> {
    let late = |_| ConnectError::TimedOut { at: at.to_owned(), seconds: most.as_secs().max(1), step };
    timeout(most, work).await.map_err(late)
}

fn config(accepted: &HostKeys, timeouts: &Timeouts) -> Config {
    // The server proves the kind of key that the client likes best: so first those that can be right. The others follow,
    // so that an impostor without a key of that kind shows itself as one, rather than as a failed negotiation.
    let (mut likely, others): (Vec<_>, Vec<_>) = Preferred::DEFAULT
        .key
        .iter()
        .filter(|algorithm| !matches!(algorithm, Algorithm::Rsa { hash: None }))
        .cloned()
        .partition(|algorithm| accepted.iter().any(|key| same_kind(&key.algorithm(), algorithm)));
    likely.extend(others);
    Config {
        window_size: WINDOW,
        keepalive_interval: Some(timeouts.keepalive),
        keepalive_max: 3,
        nodelay: true,
        preferred: Preferred { key: Cow::Owned(likely), ..Preferred::DEFAULT },
        ..Config::default()
    }
}

fn same_kind(one: &Algorithm, other: &Algorithm) -> bool {
    one == other || matches!((one, other), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }))
}

pub(super) fn from_io(at: &str, error: io::Error, step: &'static str) -> ConnectError {
    let at = at.to_owned();
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ConnectError::Refused { at },
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => ConnectError::Dropped { at, step },
        _ => ConnectError::Unreachable { at, source: error },
    }
}

pub(super) fn from_russh(at: &str, error: russh::Error, step: &'static str) -> ConnectError {
    match error {
        russh::Error::IO(error) => from_io(at, error, step),
        russh::Error::Disconnect | russh::Error::HUP | russh::Error::SendError => {
            ConnectError::Dropped { at: at.to_owned(), step }
        }
        error => ConnectError::Protocol { at: at.to_owned(), source: Box::new(error) },
    }
}

/// Lets accepted host keys through and remembers the one that was presented.
pub(super) struct Checker {
    accepted: HostKeys,
    presented: Arc<Mutex<Option<PublicKey>>>,
}

impl Handler for Checker {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        // Certificates are not offered to the server, so one is as wrong as an unknown key.
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else { return Ok(false) };
        *self.presented.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.clone());
        Ok(self.accepted.contains(key))
    }
}

pub(super) fn failed(what: &str, error: russh::Error) -> Error {
    Error::failed(what).because(error)
}
