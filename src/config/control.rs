//! Settings of the control plane (`serve`, `worker`, `migrate`), one struct per concern.
//!
//! The defaults, then the file, then the environment, then flags: what comes later goes before. [`super::layers`] reads them.

use std::net::SocketAddr;

use camino::Utf8PathBuf;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// All settings of the control plane.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// Where the records are.
    pub database: Database,
    /// What lies on this machine.
    pub state: State,
    /// How the API is served.
    pub http: Http,
    /// How often one may ask.
    pub limits: Limits,
    /// What people may do by themselves.
    pub accounts: Accounts,
    /// How mail is sent.
    pub mail: Mail,
    /// How workflows are run.
    pub worker: Worker,
    /// How the audit log is kept.
    pub audit: Audit,
    /// How logs are written.
    pub log: Log,
    /// Where traces go.
    pub telemetry: Telemetry,
}

/// Where the records are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// A PostgreSQL URL (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>); without one, the
    /// embedded store in the fleet's folder.
    pub url: Option<String>,
    /// A file that holds the password, where the URL names none and `.pgpass` does not either.
    pub password_file: Option<Utf8PathBuf>,
}

/// What lies on this machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// The folder whose `.stead` holds keys, local nodes, and blobs that were used here; without it, the fleet's folder.
    pub dir: Option<Utf8PathBuf>,
}

/// How the API is served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// The address and port to listen on; port 0 takes any that is free.
    pub listen: SocketAddr,
    /// Where browsers reach it (`https://stead.example.com`): what mailed links begin with, and whose pages may act for those
    /// who are signed in. Without it, `http://` and the address that it listens on.
    pub public_url: Option<String>,
    /// Whose `X-Forwarded-For` is believed: the proxies in front. None by default.
    pub trusted_proxies: Vec<IpNet>,
    /// How long a request may take, in seconds.
    pub timeout_seconds: u32,
    /// The longest body, in KiB.
    pub body_kib: u32,
    /// The most connections at once.
    pub connections: u32,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7380)),
            public_url: None,
            trusted_proxies: Vec::new(),
            timeout_seconds: 10,
            body_kib: 64,
            connections: 4096,
        }
    }
}

/// How often one may ask, in requests a minute; a burst of as many is let through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// From one address.
    pub per_address: u32,
    /// With one token, or by one person.
    pub per_token: u32,
    /// For links to sign in, from one address.
    pub sign_ins: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_address: 1200, per_token: 1200, sign_ins: 10 }
    }
}

/// What people may do by themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Accounts {
    /// Whether anybody may sign in and become a customer; otherwise only those who were invited.
    pub sign_up: bool,
    /// The most workspaces that one person may own.
    pub workspaces: u32,
    /// After how many hours without use a session ends.
    pub idle_hours: u32,
    /// After how many days a session ends, used or not.
    pub session_days: u32,
}

impl Default for Accounts {
    fn default() -> Self {
        Self { sign_up: true, workspaces: 3, idle_hours: 72, session_days: 30 }
    }
}

/// How mail is sent: through a relay. Without one, nobody can sign in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mail {
    /// The relay's name or address.
    pub host: Option<String>,
    /// Its port; without it, the usual one: 587 for `starttls`, 465 for `implicit`, 25 for `none`.
    pub port: Option<u16>,
    /// How the connection is encrypted.
    pub tls: MailTls,
    /// A file with the certificate authority that the relay's certificate is from, where that is no public one.
    pub ca_file: Option<Utf8PathBuf>,
    /// The user, where the relay wants one.
    pub user: Option<String>,
    /// A file that holds the user's password.
    pub password_file: Option<Utf8PathBuf>,
    /// Whose mail it is: `Stead <stead@example.com>`.
    pub from: Option<String>,
}

/// How a connection to a mail relay is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// From its first words on (RFC 3207), or not at all.
    #[default]
    Starttls,
    /// From its first byte on (RFC 8314).
    Implicit,
    /// Not at all: for relays on this machine.
    None,
}

/// How workflows are run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Worker {
    /// The most workflows at once.
    pub concurrency: u32,
    /// This host's name among workers; without it, the machine's.
    pub host: Option<String>,
    /// Whether nodes may be made on this host; without it, wherever the worker runs as root.
    pub local: Option<bool>,
    /// Where `stead worker` gives its figures: an address of this machine's own, and a port. Without it, nowhere.
    pub metrics: Option<SocketAddr>,
    /// After how many minutes the host's machines are compared with the record again; 0 means never.
    pub sweep_minutes: u32,
}

impl Default for Worker {
    fn default() -> Self {
        Self { concurrency: 8, host: None, local: None, metrics: None, sweep_minutes: 60 }
    }
}

impl Worker {
    /// This host's name among workers.
    pub fn host_name(&self) -> String {
        let machine = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        self.host.clone().unwrap_or_else(machine)
    }
}

/// How the audit log is kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// The file that signed checkpoints of the log are appended to; without it, `.stead/checkpoints` in the state folder.
    pub checkpoints: Option<Utf8PathBuf>,
}

/// How logs are written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// As text, or one JSON object a line.
    pub format: LogFormat,
}

/// The form of logs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For collectors.
    Json,
}

/// Where traces go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// A collector that takes OTLP over HTTP (`http://127.0.0.1:4318`). Without one no traces are made.
    pub otlp_endpoint: Option<String>,
    /// How many traces are made, callers' as well, from 0.0 to 1.0.
    pub sample: f64,
    /// A file of headers that the collector wants, as for who we are: `Name: value`, one a line.
    pub headers_file: Option<Utf8PathBuf>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { otlp_endpoint: None, sample: 1.0, headers_file: None }
    }
}
