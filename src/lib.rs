//! Stead: infrastructure as code for fleets of hardened, single-tenant Debian machines.
//!
//! The rooms below stand in storeys; a room imports only from storeys below its own. `docs/ARCHITECTURE.md` draws the
//! house, and `tests/storeys.rs` reads the imports and enforces it.
//!
//! The crate has two faces, chosen by feature, so that the programs which run on nodes stay small:
//! `node` (the node agent and the workload) and `control` (everything else).

/// Requests begin on one thread and end on another; the C library's allocator has these threads wait for each other.
#[cfg(feature = "control")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// Storey 0: base.
pub mod age_identity;
pub mod atomic_file;
#[cfg(feature = "control")]
pub mod clock;
#[cfg(feature = "control")]
pub mod config;
pub mod error;
#[cfg(feature = "control")]
pub mod hashing;
pub mod id;
pub mod keypair;
#[cfg(feature = "control")]
pub mod ownership;
pub mod redact;
#[cfg(feature = "control")]
pub mod telemetry;
#[cfg(feature = "control")]
pub mod tool;

// Storey 1: what controller and node agent say to each other.
pub mod wire;

// Storey 2: what runs on the node.
#[cfg(feature = "node")]
pub mod agent;
#[cfg(feature = "node")]
pub mod node;

// Storey 3: the record.
#[cfg(feature = "control")]
pub mod store;

// Storey 4: the chained log.
#[cfg(feature = "control")]
pub mod audit;

// Storey 5: the fleet's files; templates; secrets and their keys; SSH.
#[cfg(feature = "control")]
pub mod fleet;
#[cfg(feature = "control")]
pub mod render;
#[cfg(feature = "control")]
pub mod secrets;
#[cfg(feature = "control")]
pub mod ssh;

// Storey 6: playbooks.
#[cfg(feature = "control")]
pub mod playbook;

// Storey 7: images.
#[cfg(feature = "control")]
pub mod image;

// Storey 8: where nodes live; mail.
#[cfg(feature = "control")]
pub mod notify;
#[cfg(feature = "control")]
pub mod provider;

// Storey 9: durable work.
#[cfg(feature = "control")]
pub mod workflow;

// Storey 10: who acts, and what they may do.
#[cfg(feature = "control")]
pub mod accounts;

// Storey 11: the API, and its client.
#[cfg(feature = "control")]
pub mod api;
#[cfg(feature = "control")]
pub mod client;

// Storey 12: the operators' command.
#[cfg(feature = "control")]
pub mod cli;

pub use error::{Error, Kind, Result};

/// The version of this program, as `stead --version` prints it and as the node agent states it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
