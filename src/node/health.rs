//! Asking a service for its health, over HTTP/1.1.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::wire::message::Reply;
use crate::{Error, Result};

/// How often to ask.
const PAUSE: Duration = Duration::from_millis(100);
/// How long one answer may take.
const PER_TRY: Duration = Duration::from_secs(5);
/// The most that is kept of a body, in bytes.
const MAX_BODY: usize = 64 << 10;
/// The most that is read of an answer, in bytes.
const MAX_ANSWER: u64 = (MAX_BODY + (16 << 10)) as u64;

/// Asks until the answer is 2xx or the time is over; then the last answer, with status 0 where there was none.
///
/// # Errors
/// Fails where the path is not one.
pub(crate) fn ask(port: u16, path: &str, timeout: Duration) -> Result<Reply> {
    if !path.starts_with('/') || path.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(Error::input(format!("{path:?} is no path of a URL")));
    }
    let deadline = Instant::now() + timeout;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut last = (0, "nothing was asked".to_owned());
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match get(address, "localhost", path, left.clamp(PAUSE, PER_TRY)) {
            Ok((status, body)) => last = (status, body),
            // An answer that was had says more than that there is none now.
            Err(error) if last.0 == 0 => last.1 = error.to_string(),
            Err(_) => {}
        }
        if (200..300).contains(&last.0) || left <= PAUSE {
            return Ok(Reply::Health { status: last.0, body: last.1 });
        }
        std::thread::sleep(PAUSE);
    }
}

/// Asks once: the answer's status and the beginning of its body. `timeout` is for each step of it.
///
/// # Errors
/// Fails where nobody answers, or not in HTTP.
pub(crate) fn get(address: SocketAddr, host: &str, path: &str, timeout: Duration) -> std::io::Result<(u16, String)> {
    let broken = |message: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, message.to_owned());
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(|| broken("no HTTP answer"))?;
    let head = String::from_utf8_lossy(&answer[..end]);
    let status = head
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1)?.parse().ok())
        .ok_or_else(|| broken("no HTTP answer"))?;
    let body = &answer[end + 4..];
    Ok((status, String::from_utf8_lossy(&body[..body.len().min(MAX_BODY)]).into_owned()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn asks_until_it_is_well() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for status in ["503 Service Unavailable", "200 OK"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let length = stream.read(&mut request).unwrap();
                assert!(request[..length].starts_with(b"GET /health HTTP/1.1\r\n"));
                write!(stream, "HTTP/1.1 {status}\r\n\r\nbody of {status}").unwrap();
            }
        });
        let Reply::Health { status, body } = ask(port, "/health", Duration::from_secs(10)).unwrap() else { panic!() };
        assert_eq!((status, body.as_str()), (200, "body of 200 OK"));
    }

    #[test]
    fn nobody_there_is_an_answer_too() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let Reply::Health { status, body } = ask(free, "/", Duration::ZERO).unwrap() else { panic!() };
        assert_eq!(status, 0);
        assert!(body.contains("refused"), "{body}");
        assert!(ask(free, "/ HTTP/1.1\r\nX: y", Duration::ZERO).is_err());
    }
}
