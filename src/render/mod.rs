//! Text from templates and types: tera, cloud-init's documents, systemd units.

pub mod cloud_init;
pub mod context;
pub mod network;
pub mod template;
pub mod unit;
pub mod yaml;

pub use context::{Context, Sink};
pub use template::render;
