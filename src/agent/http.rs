//! HTTP/1.1 (RFC 9112), as much of it as answering GET needs: one thread for each connection, up to a bound; one request
//! for each connection; limits on time and size.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::Result;

/// Connections served at a time; more are turned away with 503.
const MAX_CONNECTIONS: usize = 32;
/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 8 << 10;
/// How long a client may take for its request, and for taking the answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Gives status and JSON body for a path.
pub(super) type Answer = Arc<dyn Fn(&str) -> (u16, String) + Send + Sync>;

/// Serves for ever.
///
/// # Errors
/// Fails where the listening socket does.
pub(super) fn serve(listener: &TcpListener, answer: Answer) -> Result<()> {
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            // The client went away before it was accepted, or there are no descriptors left for the moment.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if open.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
            open.fetch_sub(1, Ordering::Relaxed);
            let _ = stream.set_write_timeout(Some(Duration::from_millis(100)));
            respond(stream, 503, "{\"error\":\"too many connections\"}");
            continue;
        }
        let (open, answer) = (open.clone(), answer.clone());
        std::thread::spawn(move || {
            converse(stream, &answer);
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn converse(mut stream: TcpStream, answer: &Answer) {
    let _ = stream.set_write_timeout(Some(TIMEOUT));
    let (status, body) = match read_head(&mut stream) {
        Some(head) => match parse(&head) {
            Ok(path) => answer(path),
            Err(status) => (status, "{\"error\":\"only GET is answered here\"}".to_owned()),
        },
        None => (408, "{\"error\":\"the request did not come in time, or is too long\"}".to_owned()),
    };
    respond(stream, status, &body);
}

/// Reads up to the empty line that ends a request's head.
fn read_head(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let deadline = Instant::now() + TIMEOUT;
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        // One deadline for the whole head: a client cannot keep a thread by sending a byte now and then.
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || head.len() > MAX_HEAD {
            return None;
        }
        stream.set_read_timeout(Some(left)).ok()?;
        match stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(length) => head.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    Some(head)
}

/// The path of a GET request without its query; else the status that says what is wrong.
fn parse(head: &[u8]) -> Result<&str, u16> {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| 400u16)?;
    let mut words = line.split(' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some("GET"), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) if target.starts_with('/') => {
            Ok(target.split('?').next().unwrap_or(target))
        }
        (Some(_), Some(_), Some("HTTP/1.1" | "HTTP/1.0"), None) => Err(405),
        _ => Err(400),
    }
}

fn respond(mut stream: TcpStream, status: u16, body: &str) {
    let reason = match status {
        200 => "OK",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        503 => "Service Unavailable",
        _ => "Bad Request",
    };
    let length = body.len() + 1;
    let answer = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n{body}\n"
    );
    // A client that does not take its answer has none.
    let _ = stream.write_all(answer.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ask(port: u16, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn requests_are_answered_and_nonsense_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || serve(&listener, Arc::new(|path| (200, format!("\"{path}\"")))));
        let answer = ask(port, b"GET /health?x=1 HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n\"/health\"\n"), "{answer}");
        assert!(ask(port, b"POST / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
        assert!(ask(port, b"\xff\xfe\r\n\r\n").starts_with("HTTP/1.1 400 "));
    }

    proptest! {
        #[test]
        fn any_head_parses(head in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&head);
        }
    }
}
