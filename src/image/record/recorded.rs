//! What is kept of an image that was built, and compared with another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{File, Package};

/// What is known of one image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// The image's name.
    pub name: String,
    /// The image's key: the hash of all that went into it.
    pub key: String,
    /// Its packages.
    pub packages: Vec<Package>,
    /// Its files.
    pub files: Vec<File>,
    /// What was made of it (`disk.qcow2`), by name.
    pub artefacts: BTreeMap<String, Artefact>,
    /// The audits' scores, by auditor.
    pub scores: BTreeMap<String, f64>,
}

/// A file that an image was made into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artefact {
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
}
