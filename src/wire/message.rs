//! The messages themselves.

use serde::{Deserialize, Serialize};

use super::envelope::Envelope;
use super::handover::{Sum, Ticket};
use super::plan::{Applied, ApplyOptions, Facts, Plan, TaskEvent};

/// The first frame from the controller.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// [`super::PROTOCOL`].
    pub protocol: u32,
    /// The controller's version, for the log.
    pub version: String,
    /// The fleet that the controller acts for; a node belongs to one, and refuses another.
    pub fleet: String,
    /// The node that the controller means; the agent refuses where it is another.
    pub node: String,
    /// Grows with every lease on this node. A node refuses a lower one than it has seen. Without one the controller only
    /// looks: it may do so beside another one's work, and every request that would change something is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<u64>,
}

/// The first frame from the node agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Welcome {
    /// [`super::PROTOCOL`].
    pub protocol: u32,
    /// The agent's version.
    pub version: String,
    /// Debian's name of the architecture (`amd64`).
    pub arch: String,
    /// The session's fence; none where the controller only looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<u64>,
    /// Changes with every boot.
    pub boot_id: String,
    /// What the node took back since its last run, because nobody confirmed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_back: Option<TakenBack>,
}

/// Changes that the node took back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenBack {
    /// The run's name, as in [`super::plan::Guarded`].
    pub id: String,
    /// What it was, for people.
    pub what: String,
}

/// What the controller asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Request {
    /// What the node is. Answered by [`Reply::Facts`].
    Facts,
    /// Waits until the machine has finished booting (cloud-init done, no job of systemd's left), then tells what failed.
    /// Answered by [`Reply::Booted`].
    WaitBoot {
        /// How long to wait, in seconds.
        timeout: u64,
    },
    /// Makes a new SSH host key aside (or finds the one made before), without using it. Answered by [`Reply::HostKey`].
    HostKeyPrepare,
    /// Puts the key that was made aside in use; does nothing where it is in use already. Answered by [`Reply::Done`].
    HostKeyInstall {
        /// The public key that the controller has recorded, in OpenSSH's format; any other key is refused.
        public: String,
    },
    /// Makes the node's age identity, or finds it. Answered by [`Reply::Identity`].
    Identity,
    /// Makes another age identity aside (or finds the one made before), without using it. Answered by [`Reply::Identity`].
    IdentityPrepare,
    /// Puts the identity that was made aside in use; the one before it still opens what was sealed for it. Does nothing where
    /// that is so already. Answered by [`Reply::Done`].
    IdentityInstall {
        /// The recipient that the controller has recorded; any other is refused.
        recipient: String,
    },
    /// Destroys every identity but this one. Answered by [`Reply::Done`].
    IdentityRetire {
        /// The recipient of the identity that stays.
        recipient: String,
    },
    /// Takes a secret. Answered by [`Reply::SecretStored`].
    SecretPut {
        /// Signed ciphertext, bound to this node.
        envelope: Box<Envelope>,
    },
    /// Forgets a secret. Answered by [`Reply::Done`].
    SecretRemove {
        /// The secret's name.
        name: String,
    },
    /// Applies a plan, or tells what it would change. Answered by [`Reply::Events`] and [`Reply::Applied`].
    Apply {
        /// The plan.
        plan: Box<Plan>,
        /// How.
        options: ApplyOptions,
    },
    /// Keeps the guarded changes of a run. Answered by [`Reply::Done`].
    Confirm {
        /// The run's name, as in [`super::plan::Guarded`].
        id: String,
    },
    /// Boots the machine. Answered by [`Reply::Done`], and then by silence.
    Reboot,
    /// Asks a local address for its health until it answers 2xx. Answered by [`Reply::Health`].
    Health {
        /// A TCP port on the node's loopback address.
        port: u16,
        /// A path, beginning with `/`.
        path: String,
        /// How long to ask, in seconds.
        timeout: u64,
    },
    /// Stops what works with the data, and keeps it stopped, also over a boot. Answered by [`Reply::Done`].
    WorkloadStop,
    /// Starts what was stopped; does nothing where nothing was. Answered by [`Reply::Done`].
    WorkloadStart,
    /// Hands data and secrets over. Answered by pieces of an encrypted stream, ended by one of nothing, and [`Reply::Handed`].
    HandOver {
        /// To whom, signed by the fleet.
        ticket: Box<Ticket>,
    },
    /// Takes over what another node hands over. The controller sends the pieces of the stream; answered by [`Reply::Handed`].
    TakeOver {
        /// From whom, signed by the fleet.
        ticket: Box<Ticket>,
    },
    /// Destroys the node's identity, secrets and records. Answered by [`Reply::Done`].
    Wipe {
        /// The machine is not destroyed afterwards but given back: then only what is the node's goes, and systemd's credential
        /// key and others' credentials stay.
        #[serde(default)]
        outlived: bool,
    },
}

impl Request {
    /// What is asked for, in a word; the one that stands for it in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Facts => "facts",
            Self::WaitBoot { .. } => "wait_boot",
            Self::HostKeyPrepare => "host_key_prepare",
            Self::HostKeyInstall { .. } => "host_key_install",
            Self::Identity => "identity",
            Self::IdentityPrepare => "identity_prepare",
            Self::IdentityInstall { .. } => "identity_install",
            Self::IdentityRetire { .. } => "identity_retire",
            Self::SecretPut { .. } => "secret_put",
            Self::SecretRemove { .. } => "secret_remove",
            Self::Apply { .. } => "apply",
            Self::Confirm { .. } => "confirm",
            Self::Reboot => "reboot",
            Self::Health { .. } => "health",
            Self::WorkloadStop => "workload_stop",
            Self::WorkloadStart => "workload_start",
            Self::HandOver { .. } => "hand_over",
            Self::TakeOver { .. } => "take_over",
            Self::Wipe { .. } => "wipe",
        }
    }
}

/// What the node agent answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reply {
    /// What the node is.
    Facts {
        /// The facts, as templates and conditions see them.
        facts: Box<Facts>,
    },
    /// The machine has booted.
    Booted {
        /// systemd's word for its state: `running`, `degraded`.
        state: String,
        /// Units that failed.
        failed: Vec<String>,
        /// cloud-init's errors, recoverable ones included.
        cloud_init: Vec<String>,
    },
    /// The SSH host key that was made aside.
    HostKey {
        /// In OpenSSH's format.
        public: String,
    },
    /// The node's age identity.
    Identity {
        /// The recipient (`age1…`).
        recipient: String,
    },
    /// A secret was stored.
    SecretStored {
        /// As computed by the node from the value it stored.
        fingerprint: String,
        /// False where this very version was stored already.
        changed: bool,
    },
    /// What happened in the course of a request that is still running. What changed nothing is told a little later,
    /// together with what comes after it: so a node that is as it should be costs a frame or two, however many its tasks.
    Events {
        /// In their order.
        events: Vec<TaskEvent>,
    },
    /// The node lacks content that the plan names in [`super::plan::Plan::apart`]. The controller sends it in frames of its
    /// pieces, ended by one of nothing, and the request goes on.
    Want {
        /// The content's SHA-256, in hexadecimal.
        hash: String,
        /// How much of it the node has already, in bytes.
        from: u64,
    },
    /// A plan was applied.
    Applied {
        /// How it ended.
        #[serde(flatten)]
        applied: Applied,
    },
    /// The answer of the address whose health was asked for.
    Health {
        /// The HTTP status; 0 where nothing answered in time.
        status: u16,
        /// The body, at most 64 KiB of it.
        body: String,
    },
    /// What was handed over, as this side counts it.
    Handed {
        /// The counts.
        sum: Sum,
    },
    /// Done; nothing more to tell.
    Done,
    /// The request failed; the session goes on.
    Failed {
        /// What failed, with its causes.
        message: String,
        /// The way out.
        hints: Vec<String>,
    },
    /// The session is refused and ends: another protocol, another node, a lower fence.
    Refused {
        /// Why.
        message: String,
        /// The way out.
        hints: Vec<String>,
    },
}
