//! A mail relay for tests: a real SMTP server (aiosmtpd), which keeps what it takes in a Maildir.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use stead::config::control::{Mail, MailTls};

const PROGRAM: &str = ".tools/aiosmtpd/bin/aiosmtpd";

/// A relay that runs until it is dropped.
pub(crate) struct Relay {
    dir: PathBuf,
    port: u16,
    server: Child,
}

impl Relay {
    /// One without encryption, in a folder that is made.
    pub(crate) fn start(dir: &Path) -> Self {
        Self::with(dir, &[])
    }

    /// One that takes nothing before STARTTLS, with a certificate for `localhost` that it is its own authority of.
    pub(crate) fn with_tls(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let (key, certificate) = (dir.join("key.pem"), dir.join("ca.pem"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .stderr(Stdio::null())
            .status();
        assert!(made.unwrap().success(), "openssl makes a certificate");
        let (key, certificate) = (key.to_str().unwrap().to_owned(), certificate.to_str().unwrap().to_owned());
        Self::with(dir, &["--tlscert", &certificate, "--tlskey", &key])
    }

    fn with(dir: &Path, more: &[&str]) -> Self {
        assert!(Path::new(PROGRAM).exists(), "{PROGRAM} is missing: scripts/test.sh installs it");
        std::fs::create_dir_all(dir).unwrap();
        // It takes no port 0, so another program may be quicker: then it ends, and the next port is tried.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut server = Command::new(PROGRAM)
                .args(["-n", "-l", &format!("localhost:{port}"), "-c", "aiosmtpd.handlers.Mailbox"])
                .arg(dir.join("mails"))
                .args(more)
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            for _ in 0..200 {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self { dir: dir.to_owned(), port, server };
                }
                if server.try_wait().unwrap().is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            server.kill().ok();
            server.wait().ok();
        }
        panic!("no mail relay came up");
    }

    /// The settings of whoever sends through it.
    pub(crate) fn settings(&self, tls: MailTls) -> Mail {
        let ca_file = (tls != MailTls::None).then(|| self.dir.join("ca.pem").try_into().unwrap());
        Mail {
            host: Some("localhost".into()),
            port: Some(self.port),
            tls,
            ca_file,
            from: Some("Stead <stead@example.com>".into()),
            ..Mail::default()
        }
    }

    /// The mails to an address, once there are so many; the newest last.
    pub(crate) async fn mails_to(&self, address: &str, many: usize) -> Vec<String> {
        for _ in 0..200 {
            let mails = self.all();
            let to: Vec<String> =
                mails.into_iter().filter(|mail| mail.contains(&format!("\nX-RcptTo: {address}\n"))).collect();
            if to.len() >= many {
                return to;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{many} mails to {address} did not come: {:?}", self.all());
    }

    /// All mails so far, the newest last.
    pub(crate) fn all(&self) -> Vec<String> {
        let Ok(found) = std::fs::read_dir(self.dir.join("mails/new")) else { return Vec::new() };
        let mut files: Vec<PathBuf> = found.map(|entry| entry.unwrap().path()).collect();
        files.sort_by_key(|file| std::fs::metadata(file).and_then(|metadata| metadata.modified()).unwrap());
        // Quoted-printable: soft line breaks, and `=` itself (RFC 2045, section 6.7).
        let read = |file: PathBuf| std::fs::read_to_string(file).unwrap().replace("\r\n", "\n");
        files.into_iter().map(|file| read(file).replace("=\n", "").replace("=3D", "=")).collect()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}
