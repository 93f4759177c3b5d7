//! The content-keyed store of an image's stages, shared by all fleets on the machine.
//!
//! ```text
//! CACHE/stages/KEY/root/         the stage's files, as overlayfs wants them
//! CACHE/stages/KEY/stage.json    what it is, for people and for `stead image list`
//! CACHE/stages/.KEY.building/    a stage in the making; never taken for a result
//! CACHE/stages/.KEY.lock         held by whoever makes it, so that two who want it make it once
//! ```

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::stop::Stop;
use crate::clock::Timestamp;
use crate::error::Context;
use crate::{Error, Result};

/// What describes a stage; when it was changed is when the stage was used last.
const DESCRIPTION: &str = "stage.json";
/// How often a stage that another build makes is asked for.
const POLL: Duration = Duration::from_millis(100);

/// The hash of all that goes into a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StageKey(String);

impl StageKey {
    /// The key of a stage of this kind, on top of `below`, made from `inputs` (any document that tells all of them).
    ///
    /// # Errors
    /// Fails where the inputs cannot be written as JSON.
    pub fn new(kind: &str, below: Option<&StageKey>, inputs: &impl Serialize) -> Result<Self> {
        let document = serde_json::to_vec(&(kind, below, inputs))
            .map_err(|error| Error::failed("describing a stage").because(error))?;
        Ok(Self(hex::encode(&Sha256::digest(document)[..20])))
    }

    /// The key as text: 40 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a stored stage is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stage {
    /// `packages`, `playbooks`, `agent`, and those of disks.
    pub kind: String,
    /// Whose image it was made for first.
    pub image: String,
    /// When it was made.
    pub built_at: Timestamp,
    /// How long that took, in seconds.
    pub seconds: f64,
}

/// The store.
#[derive(Debug, Clone)]
pub struct Stages {
    dir: Utf8PathBuf,
}

/// A stage in the making. Dropped without [`Building::finish`], it is removed.
pub struct Building {
    aside: Utf8PathBuf,
    place: Utf8PathBuf,
    _lock: fs_err::File,
}

impl Stages {
    /// The store under this cache folder.
    pub fn new(cache_dir: &Utf8Path) -> Self {
        Self { dir: cache_dir.join("stages") }
    }

    /// The folder of a stage's files, if the stage is stored. It counts as used.
    pub fn find(&self, key: &StageKey) -> Option<Utf8PathBuf> {
        let place = self.dir.join(key.as_str());
        let root = place.join("root");
        if !root.is_dir() {
            return None;
        }
        // Whoever may only read does not keep it alive either.
        if let Ok(file) = std::fs::File::open(place.join(DESCRIPTION)) {
            let _ = file.set_modified(std::time::SystemTime::now());
        }
        Some(root)
    }

    /// The folder of all stages.
    pub(super) fn dir(&self) -> &Utf8Path {
        &self.dir
    }

    /// How much room the cache has left, in bytes.
    ///
    /// # Errors
    /// Fails where no folder above it can be asked.
    pub fn free(&self) -> Result<u64> {
        let there = self.dir.ancestors().find(|dir| dir.is_dir()).unwrap_or(Utf8Path::new("/"));
        let stat = rustix::fs::statvfs(there.as_std_path()).map_err(std::io::Error::from)?;
        Ok(stat.f_bavail * stat.f_frsize)
    }

    /// Begins to make a stage. Waits for whoever makes the same one right now, and calls `waiting` before; `None` where
    /// that one has made it.
    ///
    /// # Errors
    /// Fails where the cache folder cannot be written, and once `stop` was stopped.
    pub fn begin(&self, key: &StageKey, stop: &Stop, waiting: impl FnOnce()) -> Result<Option<Building>> {
        stop.check()?;
        fs_err::create_dir_all(&self.dir).map_err(|error| {
            Error::from(error).context("opening the cache of built images").hint("STEAD_CACHE_DIR names another folder")
        })?;
        // Stages hold programs that run with their owner's rights, and age: they are not for this machine's users.
        fs_err::set_permissions(&self.dir, std::fs::Permissions::from_mode(0o700))?;
        let lock = fs_err::File::create(self.dir.join(format!(".{}.lock", key.as_str())))?;
        let mut waiting = Some(waiting);
        // Asked again and again, since a wait in the kernel could not be stopped.
        while let Err(error) = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            if !matches!(error, Errno::WOULDBLOCK | Errno::INTR) {
                return Err(std::io::Error::from(error)).context("locking the stage");
            }
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            stop.check()?;
            std::thread::sleep(POLL);
        }
        if self.find(key).is_some() {
            return Ok(None);
        }
        let aside = self.dir.join(format!(".{}.building", key.as_str()));
        remove(&aside)?;
        fs_err::create_dir_all(aside.join("root"))?;
        Ok(Some(Building { aside, place: self.dir.join(key.as_str()), _lock: lock }))
    }
}

impl Building {
    /// Where the stage's files go.
    pub fn root(&self) -> Utf8PathBuf {
        self.aside.join("root")
    }

    /// A scratch folder on the same file system, removed at the end.
    ///
    /// # Errors
    /// Fails as the file system does.
    pub fn scratch(&self, name: &str) -> Result<Utf8PathBuf> {
        let dir = self.aside.join(name);
        fs_err::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// Moves the stage into its place, whole.
    ///
    /// # Errors
    /// Fails as the file system does; the stage is then not stored.
    pub fn finish(self, stage: &Stage) -> Result<()> {
        for entry in self.aside.read_dir_utf8()? {
            let entry = entry?;
            if entry.file_name() != "root" {
                remove(entry.path())?;
            }
        }
        let json =
            serde_json::to_vec_pretty(stage).map_err(|error| Error::failed("encoding stage.json").because(error))?;
        fs_err::write(self.aside.join(DESCRIPTION), json)?;
        // On disk before it has its name: after a power cut, what has the name is the whole stage.
        rustix::fs::syncfs(fs_err::File::open(&self.aside)?)
            .map_err(std::io::Error::from)
            .context("writing the stage to disk")?;
        fs_err::rename(&self.aside, &self.place)?;
        Ok(())
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.aside) {
            tracing::warn!(%error, "an unfinished stage stays behind until the next build");
        }
    }
}

fn remove(path: &Utf8Path) -> Result<()> {
    let removed = if path.is_dir() { fs_err::remove_dir_all(path) } else { fs_err::remove_file(path) };
    match removed {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).context(format!("removing {path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage() -> Stage {
        Stage { kind: "test".into(), image: "i".into(), built_at: Timestamp::default(), seconds: 0.0 }
    }

    #[test]
    fn only_a_finished_stage_is_found() {
        let temp = tempfile::tempdir().unwrap();
        let stages = Stages::new(Utf8Path::from_path(temp.path()).unwrap());
        let key = StageKey::new("test", None, &"a").unwrap();
        let stop = Stop::default();
        let building = stages.begin(&key, &stop, || {}).unwrap().unwrap();
        fs_err::write(building.root().join("file"), "x").unwrap();
        assert!(stages.find(&key).is_none());
        drop(building);
        assert!(stages.find(&key).is_none(), "dropped before it was finished");
        let building = stages.begin(&key, &stop, || {}).unwrap().unwrap();
        assert!(!building.root().join("file").exists(), "a new build begins empty");
        building.finish(&stage()).unwrap();
        assert!(stages.find(&key).is_some());
        assert!(stages.begin(&key, &stop, || {}).unwrap().is_none(), "made once");
    }

    #[test]
    fn a_wait_for_another_build_can_be_stopped() {
        let temp = tempfile::tempdir().unwrap();
        let stages = Stages::new(Utf8Path::from_path(temp.path()).unwrap());
        let key = StageKey::new("test", None, &"a").unwrap();
        let first = stages.begin(&key, &Stop::default(), || {}).unwrap().unwrap();
        let stop = Stop::default();
        let error = stages.begin(&key, &stop, || stop.stop()).err().unwrap();
        assert!(error.to_string().contains("was stopped"), "{error}");
        first.finish(&stage()).unwrap();
    }

    #[test]
    fn a_key_depends_on_kind_inputs_and_what_is_below() {
        let a = StageKey::new("k", None, &"a").unwrap();
        assert_ne!(a, StageKey::new("k", None, &"b").unwrap());
        assert_ne!(a, StageKey::new("l", None, &"a").unwrap());
        assert_ne!(StageKey::new("k", Some(&a), &"a").unwrap(), a);
    }
}
