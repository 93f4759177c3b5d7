//! The way to a machine: a TCP connection, or one that other machines pass on.

use std::net::SocketAddr;

use russh::ChannelOpenFailure;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};

use super::client::{from_io, from_russh, log_in, within};
use super::{Client, ConnectError, Timeouts};
use crate::ssh::target::Hop;

/// Bytes both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Host and port as one text; an IPv6 address in brackets (RFC 3986, 3.2.2).
pub(super) fn place(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A TCP connection.
pub(super) async fn direct(at: SocketAddr, timeouts: &Timeouts) -> Result<TcpStream, ConnectError> {
    let place = at.to_string();
    let socket = within(&place, timeouts.connect, "connecting", TcpStream::connect(at)).await?;
    let socket = socket.map_err(|error| from_io(&place, error, "connecting"))?;
    // A failure costs speed, nothing else.
    let _ = socket.set_nodelay(true);
    Ok(socket)
}

/// Logs in to one machine after the other, each through the one before it, and gives the last one's connection.
pub(super) async fn through(hops: &[Hop], timeouts: &Timeouts) -> Result<Client, ConnectError> {
    let mut last: Option<Client> = None;
    for hop in hops {
        let at = place(&hop.host, hop.port);
        let reached = async {
            let stream: Box<dyn Stream> = match &last {
                Some(before) => forward(before, &hop.host, hop.port, timeouts).await?,
                None => Box::new(first(&hop.host, hop.port, timeouts).await?),
            };
            log_in(stream, at, &hop.user, &hop.login, &hop.host_keys, timeouts, last.take()).await
        };
        let because = |source| ConnectError::Hop { hop: hop.to_string(), source: Box::new(source) };
        last = Some(reached.await.map_err(because)?);
    }
    last.ok_or(ConnectError::NoAddress)
}

/// The first of a host's addresses that answers.
async fn first(host: &str, port: u16, timeouts: &Timeouts) -> Result<TcpStream, ConnectError> {
    let at = place(host, port);
    let looked_up = within(&at, timeouts.connect, "looking its name up", lookup_host((host, port))).await?;
    let mut failure = ConnectError::NoAddress;
    for at in looked_up.map_err(|source| ConnectError::Unreachable { at: at.clone(), source })? {
        match direct(at, timeouts).await {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Has a machine connect to a port, and passes the bytes on (RFC 4254, 7.2).
pub(super) async fn forward(
    hop: &Client,
    host: &str,
    port: u16,
    timeouts: &Timeouts,
) -> Result<Box<dyn Stream>, ConnectError> {
    let at = place(host, port);
    let asked = hop.handle().channel_open_direct_tcpip(host, port.into(), "127.0.0.1", 0);
    let refused = |is_unreachable| ConnectError::NotForwarded { at: at.clone(), hop: hop.to_string(), is_unreachable };
    match within(&at, timeouts.connect, "connecting", asked).await? {
        Ok(channel) => Ok(Box::new(channel.into_stream())),
        Err(russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed)) => Err(refused(true)),
        Err(russh::Error::ChannelOpenFailure(_)) => Err(refused(false)),
        Err(error) => Err(from_russh(&at, error, "connecting")),
    }
}
