//! What runs on the node; the only room that changes a machine.
//!
//! Synchronous and small: one request at a time, files read and written by ourselves, programs started only where there
//! is no other way (apt, systemctl, and what a `command` task names).

pub mod accounts;
pub mod apply;
mod archive;
mod boot;
mod bus;
mod contents;
pub mod data_volume;
pub mod dpkg;
pub mod exec;
pub mod facts;
pub mod files;
pub mod guard;
mod handlers;
mod handover;
mod health;
pub mod host_key;
pub mod identity;
pub mod image;
mod locales;
mod lock;
pub mod machine;
mod made;
mod mounts;
mod nft;
pub mod node_record;
pub mod paths;
pub mod secrets;
pub mod session;
pub mod systemd;
mod tasks;
mod teller;
mod vars;
mod wipe;

pub use machine::Machine;
pub use paths::Paths;
