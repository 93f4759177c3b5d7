//! What a fleet's files declare, checked and typed.

use std::collections::BTreeMap;
use std::fmt;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use super::scalar::{Bytes, Cents};
use crate::id::FleetId;

/// Variables for playbooks and templates.
pub type Vars = serde_json::Map<String, serde_json::Value>;

/// The operator's declared platform.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fleet {
    /// The name, for people.
    pub name: String,
    /// The id, which never changes.
    pub id: FleetId,
    /// Which versions of this program may work on the fleet (Cargo's syntax for requirements).
    pub requires: Option<String>,
    /// Below which domain workspaces have their DNS names.
    pub domain: Option<String>,
    /// Where nodes live, by name.
    pub providers: BTreeMap<String, Provider>,
    /// What a customer can have, by name.
    pub tiers: BTreeMap<String, Tier>,
    /// The workspaces that operators declare, by slug.
    pub workspaces: BTreeMap<String, Workspace>,
}

/// Where nodes live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Provider {
    /// The name that tiers and workspaces use.
    pub name: String,
    /// What it is.
    pub kind: ProviderKind,
}

/// The kinds of providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderKind {
    /// This machine: systemd-nspawn, or QEMU.
    Local,
    /// OVHcloud's Public Cloud.
    OvhCloud,
    /// OVHcloud's VPS.
    OvhVps,
    /// A machine that people bring.
    Ssh,
}

impl ProviderKind {
    /// Every kind with its name in `stead.yaml`.
    pub const ALL: [(&'static str, ProviderKind); 4] = [
        ("local", ProviderKind::Local),
        ("ovh-cloud", ProviderKind::OvhCloud),
        ("ovh-vps", ProviderKind::OvhVps),
        ("ssh", ProviderKind::Ssh),
    ];

    /// Whether it makes machines, and so needs a size and an image.
    pub fn makes_machines(self) -> bool {
        self != ProviderKind::Ssh
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Self::ALL.iter().find(|(_, kind)| kind == self).map_or(Ok(()), |(name, _)| f.write_str(name))
    }
}

/// What a customer can have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tier {
    /// The name that workspaces use.
    pub name: String,
    /// The name of the provider, where a workspace names no other.
    pub provider: String,
    /// How large its machines are. Always there where the provider makes machines.
    pub size: Option<Size>,
    /// What its machines start from. Always there where the provider makes machines.
    pub image: Option<ImageRef>,
    /// Local nodes only: boot the real disk in QEMU.
    pub vm: bool,
    /// Who installs security updates.
    pub updates: Updates,
    /// The playbooks of its nodes, in their order.
    pub playbooks: Vec<String>,
    /// What it costs.
    pub price: Option<Price>,
    /// Where the workload on the node says how it is; without it, a node is healthy once its playbooks are applied.
    pub health: Option<HealthCheck>,
    /// Variables for its playbooks.
    pub vars: Vars,
}

/// A local address on the node that is asked for its health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthCheck {
    /// The TCP port on the node's loopback address.
    pub port: u16,
    /// The path, beginning with `/`.
    pub path: String,
}

/// How large a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory.
    pub memory: Bytes,
    /// Disk.
    pub disk: Bytes,
}

/// An image, as a tier names it: `agent-node` or `agent-node:stable`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageRef {
    /// The definition's name: `images/NAME/`.
    pub name: String,
    /// Only builds that were promoted to this channel; without one, the present definition's build.
    pub channel: Option<String>,
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.channel.iter().try_for_each(|channel| write!(f, ":{channel}"))
    }
}

impl std::str::FromStr for ImageRef {
    type Err = crate::Error;

    fn from_str(text: &str) -> crate::Result<Self> {
        let (name, channel) = match text.split_once(':') {
            Some((name, channel)) => (name, Some(channel)),
            None => (text, None),
        };
        std::iter::once(name).chain(channel).try_for_each(super::name::check_label)?;
        Ok(Self { name: name.to_owned(), channel: channel.map(str::to_owned) })
    }
}

impl Serialize for ImageRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Who installs security updates on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Updates {
    /// The node itself, as they appear; versions of packages do not count as drift.
    #[default]
    Unattended,
    /// A rollout.
    Rollout,
}

/// What a tier costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Price {
    /// Euros for a month.
    pub eur_month: Cents,
}

/// A customer's tenancy, as an operator declares it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Workspace {
    /// The slug: the name, and the label of the DNS name.
    pub slug: String,
    /// The name of its tier.
    pub tier: String,
    /// The name of its provider: its own, or its tier's.
    pub provider: String,
    /// Variables; they go before the tier's.
    pub vars: Vars,
    /// The names of its secrets.
    pub secrets: Vec<String>,
    /// How to reach its machine. There where, and only where, the provider is of the kind ssh.
    pub machine: Option<Machine>,
}

/// A machine that people bring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// An IP address or a host name.
    pub host: String,
    /// sshd's port.
    pub port: u16,
    /// Who to log in as, at the first contact.
    pub user: String,
    /// The private key for that: within the fleet's folder, or absolute. Without it, the SSH agent's keys.
    pub identity: Option<Utf8PathBuf>,
    /// The machine's host key in OpenSSH's format, without a comment. Without it nobody logs in there.
    pub host_key: Option<String>,
    /// The machines that connections to it go through, the first one to be reached in front.
    pub jump: Vec<Jump>,
}

/// A machine that connections go through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jump {
    /// An IP address or a host name, as the machine before it knows it.
    pub host: String,
    /// sshd's port.
    pub port: u16,
    /// Who to log in as.
    pub user: String,
    /// Its host key in OpenSSH's format, without a comment.
    pub host_key: String,
}

impl Fleet {
    /// A declared workspace.
    pub fn workspace(&self, slug: &str) -> Option<&Workspace> {
        self.workspaces.get(slug)
    }

    /// A workspace's tier. `None` only for a workspace of another fleet.
    pub fn tier(&self, workspace: &Workspace) -> Option<&Tier> {
        self.tiers.get(&workspace.tier)
    }

    /// A workspace's provider. `None` only for a workspace of another fleet.
    pub fn provider(&self, workspace: &Workspace) -> Option<&Provider> {
        self.providers.get(&workspace.provider)
    }

    /// A workspace's variables: its tier's, with its own laid over them.
    pub fn vars(&self, workspace: &Workspace) -> Vars {
        let mut vars = self.tier(workspace).map(|tier| tier.vars.clone()).unwrap_or_default();
        vars.extend(workspace.vars.clone());
        vars
    }

    /// A workspace's DNS name, where the fleet has a domain.
    pub fn dns_name(&self, slug: &str) -> Option<String> {
        self.domain.as_ref().map(|domain| format!("{slug}.{domain}"))
    }
}
