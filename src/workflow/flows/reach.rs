//! How a machine that people bring is reached.

use serde::{Deserialize, Serialize};
use tokio::net::lookup_host;

use super::Platform;
use crate::fleet::{Jump, Machine, ProviderKind};
use crate::keypair;
use crate::ssh::{ConnectError, Hop, HostKeys, Login, Target};
use crate::store::Node;
use crate::{Error, Result};

/// The key of [`Node::details`] that this stands under.
const REACH: &str = "reach";

/// How a machine that people bring is reached, as it was declared last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reach {
    host: String,
    port: u16,
    /// Who logs in at the first contact.
    pub(super) user: String,
    /// The private key for that, and for the machines on the way: within the fleet's folder, or absolute.
    identity: Option<camino::Utf8PathBuf>,
    #[serde(default)]
    jump: Vec<Jump>,
}

impl From<&Machine> for Reach {
    fn from(machine: &Machine) -> Self {
        Self {
            host: machine.host.clone(),
            port: machine.port,
            user: machine.user.clone(),
            identity: machine.identity.clone(),
            jump: machine.jump.clone(),
        }
    }
}

impl Reach {
    /// What is recorded of a node; `None` for one whose machine a provider made.
    pub(super) fn of(node: &Node) -> Option<Self> {
        serde_json::from_value(node.details.get(REACH)?.clone()).ok()
    }

    /// Records it.
    pub(super) fn record(self, node: &mut Node) {
        node.ssh_port = self.port;
        node.addresses = self.host.parse().into_iter().collect();
        node.details[REACH] = serde_json::json!(self);
    }

    /// Where to connect, as whom.
    pub(super) async fn target(&self, platform: &Platform, user: &str) -> Result<Target, ConnectError> {
        let at = || format!("{}:{}", self.host, self.port);
        let mut target = Target { port: self.port, user: user.to_owned(), ..Target::default() };
        if self.jump.is_empty() {
            let found = lookup_host((self.host.as_str(), self.port)).await;
            let found = found.map_err(|source| ConnectError::Unreachable { at: at(), source })?;
            target.addresses = found.map(|socket| socket.ip()).collect();
            return Ok(target);
        }
        target.name = Some(self.host.clone());
        let login = self.login(platform).map_err(ConnectError::NotReady)?;
        for jump in &self.jump {
            target.via.push(Hop {
                host: jump.host.clone(),
                port: jump.port,
                user: jump.user.clone(),
                host_keys: HostKeys::parse([jump.host_key.as_str()]).map_err(ConnectError::NotReady)?,
                login: login.clone(),
            });
        }
        Ok(target)
    }

    /// The operator's own login: the declared private key, else what their SSH agent holds.
    pub(super) fn login(&self, platform: &Platform) -> Result<Login> {
        if let Some(path) = &self.identity {
            let path = platform.fleet_dir.join(path);
            return match keypair::read(&path)? {
                Some(key) => Ok(key.into()),
                None => Err(Error::input(format!("there is no private key {path}"))
                    .hint("the workspace's `identity` names it: relative to the fleet's folder, or absolute")),
            };
        }
        platform.config.ssh_agent.clone().map(Login::Agent).ok_or_else(|| {
            Error::input(format!("nothing says how to log in to {}", self.host))
                .hint("name a private key as the workspace's `identity`")
                .hint("or start an SSH agent (SSH_AUTH_SOCK); under sudo: `sudo --preserve-env=SSH_AUTH_SOCK stead …`")
        })
    }
}

/// Whether people brought the node's machine: then no provider can be asked about it.
pub fn is_brought(node: &Node) -> bool {
    node.kind == ProviderKind::Ssh.to_string()
}
