//! What the store keeps of an image's disk, beside the image's row.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use super::Artefact;
use crate::clock::Timestamp;
use crate::{Error, Result};

/// What is known of a disk.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The key of the root that it was made from, by which nodes in containers remember it.
    pub root: String,
    /// The disk in its provider's format, where it was built.
    pub file: Utf8PathBuf,
    /// The layers of its root, topmost first.
    pub layers: Vec<Utf8PathBuf>,
    /// What was made, by name.
    pub artefacts: BTreeMap<String, Artefact>,
    /// Its documents: blobs' keys, by name.
    pub documents: BTreeMap<String, String>,
    /// What it was put to, by the gate's name: `verify`, `boot.bios`, `boot.uefi`, `audit`.
    #[serde(default)]
    pub gates: BTreeMap<String, Gate>,
}

/// What a gate found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Whether the image passed.
    pub passed: bool,
    /// What was found, in a line.
    pub seen: String,
    /// Figures, by name: scores, seconds.
    #[serde(default)]
    pub figures: BTreeMap<String, f64>,
    /// When.
    pub at: Timestamp,
}

impl Entry {
    /// The entry in a store's column.
    ///
    /// # Errors
    /// Fails where a newer program wrote it in a form that this one does not know.
    pub fn parse(value: &serde_json::Value) -> Result<Self> {
        serde_json::from_value(value.clone()).map_err(|error| {
            Error::failed("the record of an image cannot be read")
                .because(error)
                .hint("a newer stead may have written it")
        })
    }
}
