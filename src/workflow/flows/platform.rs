//! What the steps of all flows share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use camino::Utf8PathBuf;
use tokio::time::Instant;

use super::reach::Reach;
use crate::config::Config;
use crate::config::control::Worker;
use crate::error::Context;
use crate::fleet::{self, FileSet, Fleet};
use crate::id::{FleetId, NodeId, RevisionId, WorkspaceId};
use crate::provider::{self, Provider};
use crate::secrets::keys::FleetKeys;
use crate::secrets::vault::Vault;
use crate::ssh::{AgentBinary, Client, HostKeys, Login, NodeSession, Target, Timeouts};
use crate::store::{Node, Store};
use crate::wire;
use crate::wire::message::Hello;
use crate::{Error, Result};

/// Debian's name of the architecture of nodes that were recorded without one.
pub(super) const AMD64: &str = "amd64";
/// What [`Node::details`] holds: the architecture of the image that the node was made from, as Debian names it.
pub(super) const ARCH: &str = "arch";
/// How long a machine may take until its sshd answers, and cloud-init and systemd after that.
#[derive(Debug, Clone, Copy)]
pub(super) struct BootTime {
    pub(super) sshd: Duration,
    pub(super) settle: Duration,
}

impl BootTime {
    const USUAL: Self = Self { sshd: Duration::from_secs(180), settle: Duration::from_secs(120) };
    /// Without KVM every instruction is emulated.
    pub(super) const LONGEST: Self = Self { sshd: Duration::from_secs(15 * 60), settle: Duration::from_secs(10 * 60) };

    /// What the node may take.
    pub(super) fn of(node: &Node) -> Self {
        if is_vm(node) { Self::LONGEST } else { Self::USUAL }
    }

    /// All of it.
    pub(super) fn sum(self) -> Duration {
        self.sshd + self.settle
    }
}

/// How long an emulated machine that is still booting may take for a key exchange.
const VM_HANDSHAKE: Duration = Duration::from_secs(120);
/// What [`Node::details`] holds: the size that was declared when the node was made.
pub const SIZE: &str = "size";
/// What [`Node::details`] holds: whether the node is a virtual machine on this host, which may be emulated and slow.
pub(super) const VM: &str = "vm";

/// The operator's intent at one revision.
#[derive(Debug)]
pub struct Desired {
    /// The files.
    pub files: FileSet,
    /// What they declare.
    pub fleet: Fleet,
}

impl Desired {
    /// Loads what `files` declare.
    ///
    /// # Errors
    /// Fails with every mistake in the files.
    pub fn load(files: FileSet) -> Result<Self> {
        Ok(Self { fleet: fleet::load(&files)?, files })
    }

    /// A workspace as the revision declares it, with its tier.
    ///
    /// # Errors
    /// Fails where the revision does not declare it.
    pub fn workspace(&self, slug: &str) -> Result<(&fleet::Workspace, &fleet::Tier)> {
        let workspace = self.fleet.workspace(slug).ok_or_else(|| {
            Error::failed(format!("the fleet's files declare no workspace {slug:?}"))
                .hint("declare it under `workspaces` in stead.yaml")
        })?;
        let tier = self
            .fleet
            .tier(workspace)
            .ok_or_else(|| Error::failed(format!("no tier is called {:?}", workspace.tier)))?;
        Ok((workspace, tier))
    }
}

/// What the steps of all flows share: keys, providers, and connections that one step leaves open for the next.
pub struct Platform {
    /// The fleet.
    pub fleet_id: FleetId,
    /// The fleet's folder on this machine.
    pub fleet_dir: Utf8PathBuf,
    /// This host's name among workers.
    pub host: String,
    /// The program's settings.
    pub config: Config,
    /// The fleet's keys.
    pub keys: FleetKeys,
    /// The operator's vault; only where the operator's own command runs the flow.
    pub vault: Option<Vault>,
    /// The fleet's own login on its nodes.
    login: Login,
    revisions: tokio::sync::Mutex<HashMap<RevisionId, Arc<Desired>>>,
    /// Node agents by architecture.
    agents: Mutex<HashMap<String, AgentBinary>>,
    /// Sessions by node, with the fence that they were opened under.
    sessions: Mutex<HashMap<NodeId, (u64, NodeSession)>>,
}

impl Platform {
    /// A platform with no connection yet.
    pub fn new(
        fleet_id: FleetId,
        fleet_dir: Utf8PathBuf,
        config: Config,
        keys: FleetKeys,
        vault: Option<Vault>,
    ) -> Self {
        let (revisions, agents, sessions) = Default::default();
        let login = Login::from(keys.ssh().clone());
        let host = Worker::default().host_name();
        Self { fleet_id, fleet_dir, host, config, keys, vault, login, revisions, agents, sessions }
    }

    /// The same, on a host whose name among workers is this.
    #[must_use]
    pub fn on_host(self, host: impl Into<String>) -> Self {
        Self { host: host.into(), ..self }
    }

    /// What a revision declares. Read from the store, not from anyone's folder: the files there may have changed since.
    ///
    /// # Errors
    /// Fails where the store has no such revision.
    pub async fn desired(&self, store: &Store, revision: Option<RevisionId>) -> Result<Arc<Desired>> {
        let id = revision.ok_or_else(|| Error::failed("this workflow is pinned to no revision"))?;
        let mut revisions = self.revisions.lock().await;
        if let Some(desired) = revisions.get(&id) {
            return Ok(desired.clone());
        }
        let record = store
            .read()
            .await?
            .revision(id)
            .await?
            .ok_or_else(|| Error::failed(format!("the store has no revision {id}")))?;
        let blobs = store.blobs();
        let bytes = blobs.get(&record.blob).await?;
        let place = |hash: &str| hash.parse().map(|key| blobs.file(&key)).unwrap_or_default();
        let files = FileSet::from_bytes(&bytes, place)?;
        for (_, apart) in files.apart() {
            blobs.local(&apart.hash.parse()?).await?;
        }
        let desired = Arc::new(Desired::load(files).with_context(|| format!("revision {}", record.number))?);
        revisions.insert(id, desired.clone());
        Ok(desired)
    }

    /// The provider of this kind.
    ///
    /// # Errors
    /// Fails for kinds that this version cannot make machines at.
    pub fn provider(&self, kind: &str) -> Result<Arc<dyn Provider>> {
        provider::of_kind(kind, &self.fleet_id, &self.fleet_dir, &self.config)
    }

    /// The node agent for an architecture; read and hashed once, however many sessions are opened.
    ///
    /// # Errors
    /// Fails where the program was not built.
    pub fn agent(&self, arch: &str) -> Result<AgentBinary> {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(arch) {
            return Ok(agent.clone());
        }
        let agent = AgentBinary::read(&self.config.agents_dir.join(arch).join("stead-node"), arch)?;
        agents.insert(arch.to_owned(), agent.clone());
        Ok(agent)
    }

    /// Connects to a node and accepts the keys that are recorded for it, waiting for it until `deadline`.
    ///
    /// # Errors
    /// Fails as [`crate::ssh::ConnectError`] tells.
    pub async fn connect(
        &self,
        node: &Node,
        accepted: &HostKeys,
        deadline: Instant,
    ) -> Result<Client, crate::ssh::ConnectError> {
        let target = match Reach::of(node) {
            Some(reach) => reach.target(self, &node.user).await?,
            None => Target::new(node.addresses.clone(), node.ssh_port, node.user.clone()),
        };
        let mut timeouts = Timeouts::default();
        if is_vm(node) {
            timeouts.handshake = timeouts.handshake.max(VM_HANDSHAKE);
        }
        Client::connect_when_up(&target, &self.login, accepted, &timeouts, deadline).await
    }

    /// Opens a session with the node agent on a connection; without a fence, to look only.
    ///
    /// # Errors
    /// Fails where the agent cannot be brought or refuses the session.
    pub async fn open(&self, client: &Client, node: &Node, fence: impl Into<Option<u64>>) -> Result<NodeSession> {
        let hello = Hello {
            protocol: wire::PROTOCOL,
            version: crate::VERSION.to_owned(),
            fleet: self.fleet_id.to_string(),
            node: node.id.to_string(),
            fence: fence.into(),
        };
        client.agent(&self.agent(arch_of(node))?, hello).await
    }

    /// The session that an earlier step of the same workflow left, or a new one.
    ///
    /// # Errors
    /// Fails as [`Platform::connect`] and [`Platform::open`] do.
    pub async fn session(&self, node: &Node, fence: u64, patience: Duration) -> Result<NodeSession> {
        if let Some((under, session)) = self.sessions().remove(&node.id)
            && under == fence
        {
            return Ok(session);
        }
        self.dial(node, fence, patience).await
    }

    /// A session over a new connection; without a fence, to look only.
    ///
    /// # Errors
    /// Fails as [`Platform::connect`] and [`Platform::open`] do.
    pub async fn dial(&self, node: &Node, fence: impl Into<Option<u64>>, patience: Duration) -> Result<NodeSession> {
        let accepted = HostKeys::parse(node.accepted_host_keys())?;
        let client = self.connect(node, &accepted, Instant::now() + patience).await?;
        self.open(&client, node, fence).await
    }

    /// Keeps a session open for the next step. Only after a success: a session that failed is closed by dropping it.
    pub fn keep(&self, node: NodeId, fence: u64, session: NodeSession) {
        self.sessions().insert(node, (fence, session));
    }

    /// Closes what was kept for a node.
    pub async fn close(&self, node: NodeId) {
        let kept = self.sessions().remove(&node);
        if let Some((_, session)) = kept {
            session.close().await;
        }
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, HashMap<NodeId, (u64, NodeSession)>> {
        // The map is whole whatever happened to whoever held it.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the node is a virtual machine on this host.
pub(super) fn is_vm(node: &Node) -> bool {
    node.details.get(VM).and_then(serde_json::Value::as_bool).unwrap_or_default()
}

fn arch_of(node: &Node) -> &str {
    node.details.get(ARCH).and_then(serde_json::Value::as_str).unwrap_or(AMD64)
}

/// The workspace's live node.
///
/// # Errors
/// Fails where it has none.
pub(super) async fn node_of(store: &Store, id: WorkspaceId) -> Result<Node> {
    store
        .read()
        .await?
        .node_of(id)
        .await?
        .ok_or_else(|| Error::failed(format!("the workspace {id} has no node")).hint("`stead up` makes one"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};

    #[test]
    fn a_node_is_given_the_agent_of_its_own_architecture() {
        let mut node = Node::new(&FleetId::mint(), WorkspaceId::new(), "local", "local", SystemClock.now());
        assert_eq!(arch_of(&node), "amd64", "as all nodes were that have no architecture on record");
        node.details = serde_json::json!({ARCH: "arm64"});
        assert_eq!(arch_of(&node), "arm64");
    }
}
