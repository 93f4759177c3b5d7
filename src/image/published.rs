//! Disks that anyone on this machine may start.
//!
//! ```text
//! CACHE/disks/KEY.qcow2    or .raw; KEY is the stage's that made the disk
//! ```
//!
//! The stages are for root alone, since they hold programs that run with their owner's rights. A disk in a file runs nothing
//! here, and holds no secret. It is the same file under a second name, and goes with its stage.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};

use super::stages::StageKey;
use crate::error::Context;
use crate::{Result, atomic_file};

/// The forms that disks have.
const FORMS: [&str; 2] = ["qcow2", "raw"];

/// The disks of one cache.
#[derive(Debug, Clone)]
pub struct Published(Utf8PathBuf);

impl Published {
    /// The disks in this cache folder.
    pub fn new(cache_dir: &Utf8Path) -> Self {
        Self(cache_dir.join("disks"))
    }

    /// The disk of a build.
    pub fn find(&self, key: &str) -> Option<Utf8PathBuf> {
        FORMS.iter().map(|form| self.place(key, form)).find(|place| place.is_file())
    }

    /// Gives `file`, which stays where it is, its second name.
    ///
    /// # Errors
    /// Fails as the file system does.
    pub fn put(&self, key: &StageKey, file: &Utf8Path) -> Result<()> {
        let place = self.place(key.as_str(), file.extension().unwrap_or(FORMS[1]));
        let id = |path: &Utf8Path| fs_err::metadata(path).map(|found| (found.dev(), found.ino())).ok();
        if id(&place) == id(file) {
            return Ok(());
        }
        // Of a stage that was made anew since.
        atomic_file::remove(&place)?;
        fs_err::create_dir_all(&self.0)?;
        // Whatever the umask of whoever made them.
        for folder in self.0.ancestors().take(2) {
            fs_err::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
        }
        fs_err::set_permissions(file, std::fs::Permissions::from_mode(0o644))?;
        match fs_err::hard_link(file, &place) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked.context("giving the disk to this machine's users"),
        }
    }

    /// Takes a build's disk away; does nothing where there is none.
    ///
    /// # Errors
    /// Fails as the file system does.
    pub fn remove(&self, key: &str) -> Result<()> {
        FORMS.iter().try_for_each(|form| atomic_file::remove(&self.place(key, form)).map(drop))
    }

    /// Takes away what has no stage any more.
    ///
    /// # Errors
    /// Fails as the file system does.
    pub fn sweep(&self, stored: impl Fn(&str) -> bool) -> Result<()> {
        let Ok(entries) = self.0.read_dir_utf8() else { return Ok(()) };
        for entry in entries {
            let entry = entry?;
            if entry.path().file_stem().is_some_and(|key| !stored(key)) {
                atomic_file::remove(entry.path())?;
            }
        }
        Ok(())
    }

    fn place(&self, key: &str, form: &str) -> Utf8PathBuf {
        self.0.join(format!("{key}.{form}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_there_for_all_until_it_is_taken_away() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(temp.path()).unwrap();
        let (published, key) = (Published::new(dir), StageKey::new("format", None, &"a").unwrap());
        published.remove(key.as_str()).unwrap();
        assert!(published.find(key.as_str()).is_none());
        let file = dir.join("disk.qcow2");
        fs_err::write(&file, "disk").unwrap();
        fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        published.put(&key, &file).unwrap();
        published.put(&key, &file).unwrap();
        let found = published.find(key.as_str()).unwrap();
        assert_eq!(fs_err::metadata(&found).unwrap().permissions().mode() & 0o777, 0o644);
        fs_err::remove_file(&file).unwrap();
        assert_eq!(fs_err::read_to_string(&found).unwrap(), "disk", "a node that is being made reads on");
        // The stage was made anew.
        fs_err::write(&file, "another").unwrap();
        published.put(&key, &file).unwrap();
        assert_eq!(fs_err::read_to_string(published.find(key.as_str()).unwrap()).unwrap(), "another");
        published.sweep(|stored| stored == key.as_str()).unwrap();
        assert!(published.find(key.as_str()).is_some());
        published.sweep(|_| false).unwrap();
        assert!(published.find(key.as_str()).is_none());
        published.put(&key, &file).unwrap();
        published.remove(key.as_str()).unwrap();
        assert!(published.find(key.as_str()).is_none());
    }
}
