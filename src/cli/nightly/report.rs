//! What a night brought, as it is kept.

use std::collections::BTreeMap;

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::Context;
use crate::image::lock::changes::Changes;
use crate::{Error, Result};

/// One night of all images.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) started: Timestamp,
    pub(super) finished: Timestamp,
    pub(super) images: Vec<Night>,
}

/// One image's night.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Night {
    pub(super) image: String,
    pub(super) outcome: Outcome,
    /// The gate that was not passed.
    pub(super) gate: Option<String>,
    /// Why not.
    pub(super) why: Option<String>,
    /// The key of the build.
    pub(super) key: Option<String>,
    /// What the new lock changes.
    pub(super) changes: Changes,
    /// The disk's size in bytes, as its provider takes it.
    pub(super) size: Option<u64>,
    /// Seconds from the start to the first login, by firmware.
    pub(super) boot: BTreeMap<String, f64>,
    /// The audits' scores, by auditor.
    pub(super) scores: BTreeMap<String, f64>,
    /// What differs from the build that was promoted before.
    pub(super) diff: Option<String>,
    pub(super) seconds: f64,
}

/// How a night ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    /// All gates were passed, and the channel names the new build.
    Promoted,
    /// The channel names this very build already.
    Unchanged,
    /// A gate was not passed.
    Failed,
}

impl Outcome {
    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
        }
    }
}

impl Night {
    /// A night of which nothing is known yet.
    pub(super) fn new(image: &str) -> Self {
        Self {
            image: image.to_owned(),
            outcome: Outcome::Failed,
            gate: None,
            why: None,
            key: None,
            changes: Changes::default(),
            size: None,
            boot: BTreeMap::new(),
            scores: BTreeMap::new(),
            diff: None,
            seconds: 0.0,
        }
    }
}

/// All nights that are kept in the folder, oldest first.
pub(super) fn all(folder: &Utf8Path) -> Result<Vec<Report>> {
    let mut files: Vec<_> = folder.read_dir_utf8()?.collect::<std::io::Result<_>>()?;
    files.sort_by(|a, b| a.file_name().cmp(b.file_name()));
    let mut reports = Vec::new();
    for file in files.iter().filter(|file| file.path().extension() == Some("json")) {
        let text = fs_err::read(file.path()).context("reading an earlier night's summary")?;
        let report = serde_json::from_slice(&text).map_err(|error| {
            Error::failed(format!("{} cannot be read", file.path())).because(error).hint("remove it")
        })?;
        reports.push(report);
    }
    Ok(reports)
}
