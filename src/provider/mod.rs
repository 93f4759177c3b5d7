//! Where nodes live.
//!
//! A provider makes and destroys machines and finds them again by their [`Mark`]. Everything above the machine (keys,
//! secrets, playbooks) is the same for every provider and lies elsewhere.

pub mod local;
mod watched;

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config::Config;
use crate::fleet::Size;
use crate::id::{FleetId, Mark};
use crate::image::vm::qemu::Firmware;
use crate::{Error, Result};

/// What a machine is made from.
#[derive(Debug, Clone)]
pub struct MachineSpec {
    /// The name under which the machine is made and found again.
    pub mark: Mark,
    /// What the machine calls itself.
    pub hostname: String,
    /// What it starts from.
    pub base: Base,
    /// How large it is.
    pub size: Option<Size>,
    /// cloud-init's user-data. Holds the single-use bootstrap host key and no other secret.
    pub user_data: Zeroizing<String>,
}

/// What a machine starts from.
#[derive(Debug, Clone)]
pub enum Base {
    /// An image's layers, topmost first: a container.
    Layers(Vec<Utf8PathBuf>),
    /// An image's disk: a virtual machine.
    Disk(BaseDisk),
}

/// An image's disk, as machines start from it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BaseDisk {
    /// The file: qcow2, or raw where its name ends in something else.
    pub file: Utf8PathBuf,
    /// What boots from it.
    pub firmware: Firmware,
}

/// A machine as its provider sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Whose machine it is.
    pub mark: Mark,
    /// Whether it runs.
    pub state: MachineState,
    /// Where it is reached, best first.
    pub addresses: Vec<IpAddr>,
    /// The port of its sshd there.
    pub ssh_port: u16,
}

/// Whether a machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineState {
    /// It runs, or is booting.
    Running,
    /// It exists and does not run.
    Stopped,
}

/// A place where machines can be made. Every method may be called again after a crash with the same mark.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Finds a machine by its mark.
    async fn find(&self, mark: &Mark) -> Result<Option<Machine>>;

    /// All machines that bear this fleet's mark.
    async fn list(&self) -> Result<Vec<Machine>>;

    /// Makes and starts the machine; one that bears the mark already is started if need be, not made twice.
    ///
    /// # Errors
    /// Fails where the provider refuses; nothing half-made is left that [`Provider::destroy`] would not remove.
    async fn create(&self, spec: &MachineSpec) -> Result<Machine>;

    /// Starts a machine that exists and is stopped.
    async fn start(&self, mark: &Mark) -> Result<Machine>;

    /// Has the machine shut down, and ends it where it does not within a minute and a half; does nothing where it does not run. What
    /// it holds, and what was taken for it, stays.
    async fn stop(&self, mark: &Mark) -> Result<()>;

    /// Destroys the machine and all that was taken for it; does nothing where it is gone.
    async fn destroy(&self, mark: &Mark) -> Result<()>;

    /// The last lines of the machine's console, where the provider has one.
    async fn console(&self, mark: &Mark, lines: usize) -> Result<Option<String>>;
}

/// The provider of this kind, for the machines of the fleet in `fleet_dir`.
///
/// # Errors
/// Fails for kinds that this version cannot make machines at.
pub fn of_kind(kind: &str, fleet: &FleetId, fleet_dir: &Utf8Path, config: &Config) -> Result<Arc<dyn Provider>> {
    match kind {
        "local" => {
            let inner = Arc::new(local::Local::new(fleet.clone(), fleet_dir, config)?);
            Ok(Arc::new(watched::Watched { kind: "local", inner }))
        }
        other => Err(Error::failed(format!("providers of kind {other:?} are not part of this version of stead"))
            .hint("give the tier a provider of kind `local`")),
    }
}
