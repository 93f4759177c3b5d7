//! A connection to a node that has proved its host key, logged in.

use std::borrow::Cow;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use russh::client::{Config, Handle, Handler, connect_stream};
use russh::keys::{Algorithm, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{Disconnect, Preferred};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::process::Process;
use super::{ConnectError, HostKeys, Target};
use crate::keypair::{self, PrivateKey, PublicKey};
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
    at: SocketAddr,
    user: String,
    host_key: PublicKey,
}

impl Client {
    /// Connects to the first address that answers, and logs in.
    ///
    /// # Errors
    /// Fails as [`ConnectError`] tells. A wrong host key on any address ends the attempt; an address that does not answer
    /// leads to the next, and where none does, the first one's error is given.
    pub async fn connect(
        target: &Target,
        key: &PrivateKey,
        accepted: &HostKeys,
        timeouts: &Timeouts,
    ) -> Result<Client, ConnectError> {
        let mut first = None;
        for at in target.sockets() {
            match connect_to(at, &target.user, key, accepted, timeouts).await {
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
        key: &PrivateKey,
        accepted: &HostKeys,
        timeouts: &Timeouts,
        deadline: Instant,
    ) -> Result<Client, ConnectError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(POLL);
            let attempt = Timeouts {
                connect: timeouts.connect.min(POLL_CONNECT).min(left),
                handshake: timeouts.handshake.min(left),
                keepalive: timeouts.keepalive,
            };
            match Self::connect(target, key, accepted, &attempt).await {
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
        let mut process = Process::start(self, command).await?;
        // A command that does not read its input ends before it is sent: its status tells more than the lost pipe.
        let sent = process.send(stdin.into()).await;
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

    /// The user who is logged in.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The address that answered.
    pub fn address(&self) -> SocketAddr {
        self.at
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

async fn connect_to(
    at: SocketAddr,
    user: &str,
    key: &PrivateKey,
    accepted: &HostKeys,
    timeouts: &Timeouts,
) -> Result<Client, ConnectError> {
    let socket = within(at, timeouts.connect, "connecting", TcpStream::connect(at))
        .await?
        .map_err(|error| from_io(at, error, "connecting"))?;
    // A failure costs speed, nothing else.
    let _ = socket.set_nodelay(true);
    let presented = Arc::new(Mutex::new(None));
    let checker = Checker { accepted: accepted.clone(), presented: presented.clone() };
    let presented = move || presented.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let log_in = async {
        let config = Arc::new(config(accepted, timeouts));
        let connected = connect_stream(config, socket, checker).await;
        let mut handle = connected.map_err(|error| match presented() {
            Some(key) if !accepted.contains(&key) => {
                ConnectError::WrongHostKey { at, presented: Box::new(key), expected: accepted.fingerprints() }
            }
            _ => from_russh(at, error, "greeting"),
        })?;
        let hash = if key.algorithm().is_rsa() {
            handle.best_supported_rsa_hash().await.map_err(|error| from_russh(at, error, "logging in"))?.flatten()
        } else {
            None
        };
        let offered = PrivateKeyWithHashAlg::new(Arc::new(key.clone()), hash);
        let authenticated =
            handle.authenticate_publickey(user, offered).await.map_err(|error| from_russh(at, error, "logging in"))?;
        match authenticated {
            russh::client::AuthResult::Success => Ok(handle),
            // What russh reports for a connection that was closed, as pam_nologin does on a machine that boots.
            russh::client::AuthResult::Failure { remaining_methods, .. } if remaining_methods.is_empty() => {
                Err(ConnectError::Dropped { at, step: "logging in" })
            }
            russh::client::AuthResult::Failure { .. } => Err(ConnectError::UserKeyRefused {
                at,
                user: user.to_owned(),
                fingerprint: keypair::fingerprint(key.public_key()),
            }),
        }
    };
    let handle = within(at, timeouts.handshake, "logging in", log_in).await??;
    let host_key = presented().ok_or(ConnectError::Dropped { at, step: "greeting" })?;
    Ok(Client { handle: Arc::new(handle), at, user: user.to_owned(), host_key })
}

async fn within<T>(
    at: SocketAddr,
    most: Duration,
    step: &'static str,
    work: impl Future<Output = T>,
) -> Result<T, ConnectError> {
    timeout(most, work).await.map_err(|_| ConnectError::TimedOut { at, seconds: most.as_secs().max(1), step })
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

fn from_io(at: SocketAddr, error: io::Error, step: &'static str) -> ConnectError {
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

fn from_russh(at: SocketAddr, error: russh::Error, step: &'static str) -> ConnectError {
    match error {
        russh::Error::IO(error) => from_io(at, error, step),
        russh::Error::Disconnect | russh::Error::HUP | russh::Error::SendError => ConnectError::Dropped { at, step },
        error => ConnectError::Protocol { at, source: Box::new(error) },
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
