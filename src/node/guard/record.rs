//! What the guard remembers on disk.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::node::files::{self, Attributes};
use crate::node::machine::Touch;
use crate::node::{Machine, Paths};
use crate::{Error, Result};

/// The version of both files.
const VERSION: u32 = 1;

/// What was there before a run's guarded changes, in the order in which they came.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    /// Names the run.
    pub(super) id: String,
    /// The boot in which the changes were made.
    pub(super) boot_id: String,
    pub(super) entries: Vec<Entry>,
}

/// One thing, as it was.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) touch: Touch,
    pub(super) was: Was,
}

/// How a thing was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Was {
    /// There was nothing.
    Absent,
    /// A file; its content lies beside the record, under this number.
    File { content: usize, uid: u32, gid: u32, mode: u32 },
    /// A symbolic link to this.
    Link(String),
    /// A folder.
    Folder { uid: u32, gid: u32, mode: u32 },
    /// A unit.
    Unit { running: bool, enabled: String },
    /// Text: a ruleset, a parameter's value.
    Text(String),
    /// systemd had read its unit files.
    Read,
}

impl Was {
    pub(super) fn file(content: usize, attributes: Attributes) -> Self {
        Self::File { content, uid: attributes.uid, gid: attributes.gid, mode: attributes.mode }
    }
}

impl Record {
    pub(super) fn new(machine: &Machine) -> Self {
        let mut random = [0; 8];
        // Without randomness the boot's name and the process number still keep two runs apart.
        let _ = getrandom::fill(&mut random);
        let boot_id = machine.facts["boot_id"].as_str().unwrap_or_default().to_owned();
        Self {
            version: VERSION,
            id: format!("{}-{}", hex::encode(random), std::process::id()),
            boot_id,
            entries: Vec::new(),
        }
    }

    /// The record of a run that nobody has confirmed yet.
    pub(super) fn load(paths: &Paths) -> Result<Option<Self>> {
        let path = paths.guard_record();
        match fs_err::read(&path) {
            Ok(text) => serde_json::from_slice::<Self>(&text)
                .ok()
                .filter(|record| record.version == VERSION)
                .map(Some)
                .ok_or_else(|| {
                    Error::failed(format!("{path} is not what this agent wrote"))
                        .hint("look at what lies beside it, put back by hand what should be, then remove the folder")
                }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn save(&self, paths: &Paths) -> Result<()> {
        let text = serde_json::to_vec(self).map_err(|error| Error::failed("noting what was there").because(error))?;
        files::make_folder(&paths.guard_dir(), 0o700)?;
        files::replace(&paths.guard_record(), &text, 0o600)
    }
}

/// What was taken back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Undone {
    version: u32,
    /// Names the run.
    pub(super) id: String,
    /// What it was, and what could not be taken back.
    pub(super) what: String,
}

impl Undone {
    pub(super) fn new(id: &str, what: &str) -> Self {
        Self { version: VERSION, id: id.to_owned(), what: what.to_owned() }
    }

    /// What was taken back last; one that cannot be read is none.
    pub(super) fn load(paths: &Paths) -> Option<Self> {
        let text = fs_err::read(paths.guard_undone()).ok()?;
        serde_json::from_slice(&text).ok()
    }

    pub(super) fn save(&self, paths: &Paths) -> Result<()> {
        let text = serde_json::to_vec(self).map_err(|error| Error::failed("noting what was undone").because(error))?;
        files::replace(&paths.guard_undone(), &text, 0o600)
    }
}

/// Gives the controller this long from now.
pub(super) fn set_deadline(paths: &Paths, window: Duration) -> Result<()> {
    let at = now() + window;
    files::make_folder(&paths.guard_dir(), 0o700)?;
    files::replace(&paths.guard_deadline(), at.as_millis().to_string().as_bytes(), 0o600)
}

/// How long the controller still has; nothing where its time is over, or was never noted.
pub(super) fn time_left(paths: &Paths) -> Duration {
    let text = fs_err::read_to_string(paths.guard_deadline()).unwrap_or_default();
    let at = text.trim().parse().map_or(Duration::ZERO, Duration::from_millis);
    at.saturating_sub(now())
}

/// Time since the kernel's boot, sleep included: no clock that anybody sets (proc_uptime(5)).
fn now() -> Duration {
    let uptime = fs_err::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = uptime.split(' ').next().and_then(|seconds| seconds.parse().ok());
    seconds.map_or(Duration::ZERO, Duration::from_secs_f64)
}
