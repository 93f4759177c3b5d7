//! Images: what nodes are born from.

pub mod build;
mod contained;
pub mod definition;
pub mod layers;
pub mod overlay;
pub mod plan;
pub mod programs;
pub mod record;
pub mod rootfs;
pub mod sources;
pub mod stage;
pub mod stop;

pub use build::{Builder, Built, Inputs, Planned};
pub use definition::Definition;
pub use programs::Programs;
pub use stop::Stop;
