//! The fleet's files: read with their places, checked as a whole, typed, compared.

mod declare;
pub mod diagnostic;
pub mod diff;
pub mod files;
pub mod glob;
pub mod init;
pub mod load;
pub mod model;
pub mod name;
pub mod node;
pub mod read;
pub mod scalar;
pub mod schema;
mod tier;
mod walk;
mod workspace;
pub mod yaml;

pub use diagnostic::{Diagnostic, Diagnostics, Source, Span};
pub use files::{Content, FileSet};
pub use init::init;
pub use load::load;
pub use model::{
    Fleet, HealthCheck, ImageRef, Jump, Machine, Price, Provider, ProviderKind, Size, Tier, Updates, Vars, Workspace,
};
pub use node::{Node, Value};
pub use read::{Field, MapReader};
