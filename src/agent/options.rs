//! What the workload is told on its command line and by systemd.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::{Error, Result};

/// What the workload is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens; a loopback address.
    pub listen: SocketAddr,
    /// The workspace that it serves.
    pub workspace: String,
    /// The credentials that it needs.
    pub credentials: Vec<String>,
    /// Where systemd put them (`$CREDENTIALS_DIRECTORY`).
    pub credentials_dir: Option<PathBuf>,
    /// Where systemd waits to hear that it is ready (`$NOTIFY_SOCKET`).
    pub notify_socket: Option<String>,
}

impl Options {
    /// Reads `--listen ADDRESS:PORT`, `--workspace SLUG` and any number of `--credential NAME`, and systemd's variables.
    ///
    /// # Errors
    /// Fails where an argument is unknown, or the address is not a loopback one: what is served has no authentication.
    pub fn parse(args: &[String], var: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut options = Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            workspace: String::new(),
            credentials: Vec::new(),
            credentials_dir: var("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            notify_socket: var("NOTIFY_SOCKET"),
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let value = args.next().ok_or_else(|| Error::input(format!("{arg} needs a value")))?;
            match arg.as_str() {
                "--listen" => {
                    options.listen = value
                        .parse()
                        .map_err(|error| Error::input(format!("{value:?} is no ADDRESS:PORT")).because(error))?;
                }
                "--workspace" => options.workspace.clone_from(value),
                "--credential" => options.credentials.push(value.clone()),
                _ => return Err(Error::input(format!("unknown argument {arg}"))),
            }
        }
        if !options.listen.ip().is_loopback() {
            return Err(Error::input(format!("{} is not a loopback address", options.listen)));
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_only_known_arguments() {
        let parse = |args: &[&str]| Options::parse(&args.iter().map(|&a| a.to_owned()).collect::<Vec<_>>(), |_| None);
        assert_eq!(parse(&["--listen", "[::1]:81"]).unwrap().listen.port(), 81);
        for args in [&["--listen", "0.0.0.0:80"][..], &["--listen"], &["--listen", "x"], &["--frob", "1"]] {
            assert!(parse(args).is_err(), "{args:?}");
        }
    }
}
