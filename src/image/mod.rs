//! Images: what nodes are born from.

mod apply;
pub mod audit;
pub mod build;
pub mod changelog;
pub mod collect;
mod contained;
pub mod debs;
pub mod definition;
pub mod disk;
pub mod lock;
pub mod overlay;
pub mod plan;
pub mod programs;
pub mod published;
pub mod record;
pub mod rootfs;
pub mod schema;
pub mod sources;
pub mod stages;
pub mod stop;
pub mod tools;
pub mod verify;
pub mod vm;

pub use build::{Builder, Built, BuiltDisk, DiskInputs, Inputs, Planned};
pub use definition::Definition;
pub use lock::Lock;
pub use programs::Programs;
pub use stop::Stop;
