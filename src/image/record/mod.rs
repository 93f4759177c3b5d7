//! The record of an image: what is in it, where that comes from, who vouches for it, and how it differs from another.
//!
//! All but `documents` is a function over data. The same data gives the same bytes: times come from the caller, ids are
//! derived from the image's key, and members are sorted.

pub mod cyclonedx;
mod deb822;
pub mod diff;
pub mod documents;
mod entry;
pub mod file;
mod licence;
pub mod package;
pub mod provenance;
mod purl;
mod recorded;
pub mod sbom;
pub mod sign;
pub mod spdx;
pub mod version;
pub mod vulnerabilities;

pub use diff::Diff;
pub use entry::{Entry, Gate};
pub use file::File;
pub use package::Package;
pub use recorded::{Artefact, Recorded};

/// A document as it is written to a file: indented JSON, with a newline at its end.
pub fn to_text(document: &serde_json::Value) -> String {
    format!("{document:#}\n")
}
