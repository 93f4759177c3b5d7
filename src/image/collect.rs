//! Clearing the cache away: stages that nothing uses go, the longest unused first, until the rest fits.
//!
//! What nodes and channels stand on is pinned (`CACHE/pins/NAME`: one stage's key a line) and stays.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::FlockOperation;
use serde::Serialize;

use super::published::Published;
use super::stages::{Stage, Stages};
use crate::error::Context;
use crate::{Error, Result, atomic_file};

/// A stage that was used within this time may be what a build or a node that is being made stands on.
const IN_USE: Duration = Duration::from_secs(3600);
/// Folders of tests and of what is fetched, left by programs that were killed, are removed when they are older than this.
const LEFT: Duration = Duration::from_secs(12 * 3600);
/// How such folders begin, beside the stages.
const LEFT_OVER: [&str; 2] = ["boot.", "verify."];

/// A stage that was removed, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Its key.
    pub key: String,
    /// What it is: `packages`, `disk`, …
    pub kind: String,
    /// Whose image it was made for first.
    pub image: String,
    /// What it takes on the disk, in bytes.
    pub size: u64,
}

/// What is left after a collection.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// What went.
    pub removed: Vec<Collected>,
    /// What stays, in bytes.
    pub kept: u64,
    /// Of that, what is pinned, in bytes.
    pub pinned: u64,
}

impl Stages {
    /// Keeps these stages (folders within them will do) until [`Stages::unpin`] of the same name.
    ///
    /// # Errors
    /// Fails as the file system does.
    pub fn pin(&self, name: &str, stages: &[Utf8PathBuf]) -> Result<()> {
        let keys: BTreeSet<&str> = stages.iter().filter_map(|path| self.key_of(path)).collect();
        let text: String = keys.into_iter().map(|key| format!("{key}\n")).collect();
        fs_err::create_dir_all(self.pins())?;
        atomic_file::write(&self.pins().join(name), text.as_bytes(), 0o600)
    }

    /// Lets go of what was pinned under this name; fine where nothing was.
    ///
    /// # Errors
    /// Fails as the file system does.
    pub fn unpin(&self, name: &str) -> Result<()> {
        atomic_file::remove(&self.pins().join(name)).map(drop)
    }

    /// Removes what is unfinished and nobody works on, and stages that are not pinned, the longest unused first, until what
    /// is stored takes at most `limit` bytes. With `dry`, only tells.
    ///
    /// # Errors
    /// Fails where a stage cannot be read or removed.
    pub fn collect(&self, limit: u64, dry: bool) -> Result<Outcome> {
        let pinned = self.pinned()?;
        let mut stored = Vec::new();
        let mut outcome = Outcome { removed: Vec::new(), kept: 0, pinned: 0 };
        for entry in entries(self.dir())? {
            let name = entry.file_name().unwrap_or_default().to_owned();
            if let Some(key) = name.strip_prefix('.').and_then(|name| name.strip_suffix(".building")) {
                self.abandoned(&entry, key, dry, &mut outcome)?;
            } else if !name.starts_with('.') {
                let (stage, used) = self.describe(&entry)?;
                let size = size(&entry)?;
                outcome.kept += size;
                if pinned.contains(&name) || younger(used, IN_USE) {
                    outcome.pinned += size;
                } else {
                    stored.push((used, Collected { key: name, kind: stage.kind, image: stage.image, size }));
                }
            }
        }
        self.left_over(dry)?;
        if !dry {
            Published::new(self.cache()).sweep(|key| self.dir().join(key).is_dir())?;
        }
        stored.sort_by_key(|(used, _)| *used);
        for (_, stage) in stored {
            if outcome.kept <= limit {
                break;
            }
            if !dry {
                self.remove(&stage.key)?;
            }
            outcome.kept -= stage.size;
            outcome.removed.push(stage);
        }
        Ok(outcome)
    }

    /// Away from its name first: a build that looks meanwhile finds the whole of it or nothing.
    fn remove(&self, key: &str) -> Result<()> {
        let aside = self.dir().join(format!(".{key}.building"));
        let lock = fs_err::File::create(self.dir().join(format!(".{key}.lock")))?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(std::io::Error::from)?;
        if aside.exists() {
            fs_err::remove_dir_all(&aside)?;
        }
        Published::new(self.cache()).remove(key)?;
        fs_err::rename(self.dir().join(key), &aside)?;
        fs_err::remove_dir_all(&aside).with_context(|| format!("removing the stage {key}"))
    }

    /// A build that nobody goes on with: whoever makes a stage holds its lock.
    fn abandoned(&self, entry: &Utf8Path, key: &str, dry: bool, outcome: &mut Outcome) -> Result<()> {
        let lock = fs_err::File::create(self.dir().join(format!(".{key}.lock")))?;
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(());
        }
        let (kind, image) = ("unfinished".to_owned(), String::new());
        outcome.removed.push(Collected { key: key.to_owned(), kind, image, size: size(entry)? });
        if dry { Ok(()) } else { Ok(fs_err::remove_dir_all(entry)?) }
    }

    /// What killed programs left beside the stages.
    fn left_over(&self, dry: bool) -> Result<()> {
        for entry in entries(self.cache())? {
            let ours = entry.file_name().is_some_and(|name| LEFT_OVER.iter().any(|begin| name.starts_with(begin)));
            if ours && !dry && !younger(fs_err::metadata(&entry)?.modified()?, LEFT) {
                fs_err::remove_dir_all(&entry)?;
            }
        }
        Ok(())
    }

    fn cache(&self) -> &Utf8Path {
        self.dir().parent().unwrap_or(self.dir())
    }

    fn pins(&self) -> Utf8PathBuf {
        self.cache().join("pins")
    }

    fn pinned(&self) -> Result<BTreeSet<String>> {
        let mut keys = BTreeSet::new();
        for pin in entries(&self.pins())? {
            keys.extend(fs_err::read_to_string(pin)?.lines().map(str::to_owned));
        }
        Ok(keys)
    }

    fn key_of<'a>(&self, path: &'a Utf8Path) -> Option<&'a str> {
        path.strip_prefix(self.dir()).ok()?.iter().next()
    }

    fn describe(&self, place: &Utf8Path) -> Result<(Stage, SystemTime)> {
        let file = place.join("stage.json");
        let stage = serde_json::from_slice(&fs_err::read(&file)?)
            .map_err(|error| Error::failed(format!("{file} cannot be read")).because(error))?;
        Ok((stage, fs_err::metadata(&file)?.modified()?))
    }
}

fn younger(time: SystemTime, than: Duration) -> bool {
    SystemTime::now().duration_since(time).unwrap_or_default() < than
}

/// What is in a folder; nothing where there is none.
fn entries(dir: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    match dir.read_dir_utf8() {
        Ok(entries) => Ok(entries.map(|entry| entry.map(|entry| entry.into_path())).collect::<std::io::Result<_>>()?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("reading {dir}")),
    }
}

/// What a folder's files take on the disk: disks have holes.
pub(super) fn size(path: &Utf8Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let found = fs_err::symlink_metadata(path)?;
    let own = found.blocks() * 512;
    if !found.is_dir() {
        return Ok(own);
    }
    let mut sum = own;
    for entry in fs_err::read_dir(path)? {
        // Names on a system's disk are bytes; what is not UTF-8 is too rare to be worth another path type.
        if let Ok(inner) = Utf8PathBuf::from_path_buf(entry?.path()) {
            sum += size(&inner)?;
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::image::Stop;
    use crate::image::stages::StageKey;

    fn store(stages: &Stages, what: &str, age: u64) -> Utf8PathBuf {
        let key = StageKey::new("test", None, &what).unwrap();
        let building = stages.begin(&key, &Stop::default(), || {}).unwrap().unwrap();
        fs_err::write(building.root().join("file"), vec![1; 100 << 10]).unwrap();
        let stage = Stage { kind: what.into(), image: "i".into(), built_at: Timestamp::default(), seconds: 0.0 };
        building.finish(&stage).unwrap();
        let root = stages.find(&key).unwrap();
        let used = SystemTime::now() - std::time::Duration::from_secs(age);
        std::fs::File::open(root.with_file_name("stage.json")).unwrap().set_modified(used).unwrap();
        root
    }

    #[test]
    fn the_longest_unused_goes_first_and_what_is_pinned_stays() {
        let temp = tempfile::tempdir().unwrap();
        let stages = Stages::new(Utf8Path::from_path(temp.path()).unwrap());
        let (oldest, old, new) =
            (store(&stages, "oldest", 9000), store(&stages, "old", 8000), store(&stages, "new", 7000));
        let used_now = store(&stages, "used now", 1);
        fs_err::create_dir(stages.dir().join(".0123.building")).unwrap();
        stages.pin("node", std::slice::from_ref(&oldest)).unwrap();
        let all = stages.collect(u64::MAX, true).unwrap();
        assert_eq!(all.removed.len(), 1, "only what is unfinished: {all:?}");
        let kinds = |outcome: &Outcome| outcome.removed.iter().map(|gone| gone.kind.clone()).collect::<Vec<_>>();
        let dry = stages.collect(all.kept - 1, true).unwrap();
        assert_eq!(kinds(&dry), ["unfinished", "old"]);
        assert!(old.exists() && dry.pinned > 100 << 10);
        assert_eq!(kinds(&stages.collect(0, false).unwrap()), ["unfinished", "old", "new"]);
        assert!(oldest.exists() && !old.exists() && !new.exists() && used_now.exists());
        fs_err::remove_dir_all(used_now.parent().unwrap()).unwrap();
        stages.unpin("node").unwrap();
        stages.unpin("node").unwrap();
        assert_eq!(stages.collect(0, false).unwrap().kept, 0);
        assert!(!oldest.exists());
    }

    #[test]
    fn what_somebody_makes_is_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        let stages = Stages::new(Utf8Path::from_path(temp.path()).unwrap());
        let key = StageKey::new("test", None, &"a").unwrap();
        let building = stages.begin(&key, &Stop::default(), || {}).unwrap().unwrap();
        assert!(stages.collect(0, false).unwrap().removed.is_empty());
        assert!(building.root().exists());
    }
}
