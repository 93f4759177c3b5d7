//! Why a connection did not come about.

use camino::Utf8PathBuf;

use crate::keypair::{self, PublicKey};
use crate::{Error, Kind};

/// Why a connection did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nothing listens on the port.
    #[error("{at} refuses connections")]
    Refused {
        /// Where.
        at: String,
    },
    /// No answer in time.
    #[error("{at} did not answer within {seconds} s while {step}")]
    TimedOut {
        /// Where.
        at: String,
        /// How long was waited, in seconds.
        seconds: u64,
        /// What was waited for.
        step: &'static str,
    },
    /// No way leads there.
    #[error("{at} cannot be reached")]
    Unreachable {
        /// Where.
        at: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The peer closed the connection before the login was through, as sshd does while its machine boots.
    #[error("{at} closed the connection while {step}")]
    Dropped {
        /// Where.
        at: String,
        /// What was under way.
        step: &'static str,
    },
    /// The peer proved another host key than those that are accepted.
    #[error(
        "{at} answers with the host key {}, which is not this node's ({})",
        keypair::fingerprint(.presented),
        .expected.join(" or ")
    )]
    WrongHostKey {
        /// Where.
        at: String,
        /// The key that it proved.
        presented: Box<PublicKey>,
        /// The fingerprints of the accepted keys.
        expected: Vec<String>,
    },
    /// The peer does not let this key in.
    #[error("{at} does not let the key {fingerprint} log in as {user}")]
    UserKeyRefused {
        /// Where.
        at: String,
        /// As whom.
        user: String,
        /// The fingerprint of the key that was offered.
        fingerprint: String,
    },
    /// The two sides do not understand each other.
    #[error("no SSH connection to {at}")]
    Protocol {
        /// Where.
        at: String,
        /// What the SSH library says.
        source: Box<russh::Error>,
    },
    /// A machine on the way could not be logged in to.
    #[error("the way leads through {hop}: {source}")]
    Hop {
        /// The machine.
        hop: String,
        /// Why.
        source: Box<ConnectError>,
    },
    /// A machine on the way does not lead on.
    #[error("{hop} does not lead on to {at}")]
    NotForwarded {
        /// Where to.
        at: String,
        /// The machine.
        hop: String,
        /// Whether nothing answers there, rather than that the machine forwards nothing.
        is_unreachable: bool,
    },
    /// The SSH agent cannot be asked.
    #[error("the SSH agent at {socket}: {error}")]
    Agent {
        /// Where it listens.
        socket: Utf8PathBuf,
        /// What is wrong with it.
        error: String,
    },
    /// What is needed to log in is not there.
    #[error("{0}")]
    NotReady(Error),
    /// The target has no address.
    #[error("the node has no address")]
    NoAddress,
}

impl ConnectError {
    /// Whether the same attempt may succeed a little later: the node boots, or is not there yet. Never so for a wrong host
    /// key, nor for a key that is refused.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::TimedOut { .. } | Self::Unreachable { .. } | Self::Dropped { .. } => true,
            Self::Hop { source, .. } => source.is_transient(),
            Self::NotForwarded { is_unreachable, .. } => *is_unreachable,
            Self::WrongHostKey { .. }
            | Self::UserKeyRefused { .. }
            | Self::Protocol { .. }
            | Self::Agent { .. }
            | Self::NotReady(_)
            | Self::NoAddress => false,
        }
    }
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        let hints: &[&str] = match &error {
            ConnectError::Refused { .. } => &["look whether the node runs and its sshd with it: `stead node logs`"],
            ConnectError::TimedOut { .. } | ConnectError::Unreachable { .. } => &[
                "look whether the node runs: `stead node show`",
                "look whether a firewall between here and there lets this machine's address through",
            ],
            ConnectError::Dropped { .. } => {
                &["sshd does this while its machine boots and when it has too many logins at once: try again"]
            }
            ConnectError::WrongHostKey { .. } => &[
                "nothing was sent: another machine may have taken this address, or someone sits in between",
                "do not go on before you know which; compare with the fingerprint on the provider's console",
                "if the node is lost and you want another in its place: `stead down WORKSPACE`, then `stead up WORKSPACE`",
            ],
            ConnectError::UserKeyRefused { .. } => &[
                "look whether the user exists there and has this key in its authorized_keys",
                "for a machine of your own: set `user` and `identity` of the workspace to a login that works with `ssh`; sshd takes only \
                 some of an agent's keys (MaxAuthTries)",
            ],
            ConnectError::Protocol { .. } => {
                &["look whether an SSH server listens there, and which algorithms it offers"]
            }
            ConnectError::Hop { .. } => {
                &["look at the workspace's `jump` in stead.yaml, and whether `ssh -J` gets through"]
            }
            ConnectError::NotForwarded { is_unreachable: true, .. } => {
                &["look whether the machine runs, and whether it is called so where that one stands"]
            }
            ConnectError::NotForwarded { .. } => &["its sshd must forward TCP connections (AllowTcpForwarding)"],
            ConnectError::Agent { .. } => &[
                "`ssh-add -l` shows what it holds; `sudo` forgets it unless it is run as `sudo --preserve-env=SSH_AUTH_SOCK`",
                "or name a private key's file as the workspace's `identity`",
            ],
            ConnectError::NotReady(_) => &[],
            ConnectError::NoAddress => &["`stead node show` tells what is known about the node"],
        };
        let kind = if error.is_transient() { Kind::Unreachable } else { Kind::Failed };
        let mut converted = Error::new(kind, error.to_string());
        for hint in hints {
            converted = converted.hint(*hint);
        }
        match error {
            ConnectError::Unreachable { source, .. } => converted.because(source),
            ConnectError::Protocol { source, .. } => converted.because(source),
            ConnectError::NotReady(error) => error,
            ConnectError::Hop { source, .. } => {
                let inner = Error::from(*source);
                inner.hints().iter().fold(converted, |error, hint| error.hint(hint.clone()))
            }
            _ => converted,
        }
    }
}
