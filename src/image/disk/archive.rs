//! A root as a tar stream that depends on nothing but what is in it: sorted, no later times than the lock's, owners as numbers.
//!
//! POSIX.1-2001 (pax) headers carry what the old ones cannot: long names, extended attributes (as `SCHILY.xattr`, which
//! star introduced and libarchive reads).

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use crate::error::Context;
use crate::hashing::Hashing;
use crate::image::record::file::{self, File, Kind};
use crate::{Error, Result};

/// Attributes that a root keeps; others are the file system's own business.
const ATTRIBUTES: [&str; 3] = ["security.capability", "system.posix_acl_access", "system.posix_acl_default"];

/// Writes the tree under `root`, with no time after `epoch` (seconds since 1970), and gives what is in it.
///
/// # Errors
/// Fails where a file cannot be read or the stream ends.
pub fn write(root: &Path, epoch: u64, output: impl Write) -> Result<Vec<File>> {
    let (builder, root) = (Builder::new(output), root.to_owned());
    let mut archive =
        Archive { builder, epoch, root, links: HashMap::new(), hashes: HashMap::new(), files: Vec::new() };
    archive.folder(Path::new(""))?;
    archive.builder.into_inner()?.flush()?;
    Ok(archive.files)
}

struct Archive<W: Write> {
    builder: Builder<W>,
    epoch: u64,
    root: PathBuf,
    /// The first name of each file that has several, by device and inode.
    links: HashMap<(u64, u64), PathBuf>,
    /// What those files hold.
    hashes: HashMap<(u64, u64), Option<String>>,
    files: Vec<File>,
}

impl<W: Write> Archive<W> {
    fn folder(&mut self, path: &Path) -> Result<()> {
        self.entry(path)?;
        let full = self.root.join(path);
        let mut names: Vec<OsString> =
            fs_err::read_dir(&full)?.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<_>>()?;
        names.sort();
        for name in names {
            let path = path.join(name);
            if fs_err::symlink_metadata(self.root.join(&path))?.is_dir() {
                self.folder(&path)?;
            } else {
                self.entry(&path)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path) -> Result<()> {
        let full = self.root.join(path);
        let found = fs_err::symlink_metadata(&full)?;
        let kind = found.file_type();
        if kind.is_socket() {
            // It means something only to the process that made it.
            return Ok(());
        }
        let mut header = Header::new_ustar();
        header.set_mode(found.mode() & 0o7777);
        header.set_uid(found.uid().into());
        header.set_gid(found.gid().into());
        header.set_mtime(u64::try_from(found.mtime()).unwrap_or(0).min(self.epoch));
        header.set_size(0);
        // Names in an archive begin with `./`, as `tar -C ROOT .` writes them.
        let mut name = OsString::from("./");
        name.push(path);
        let mut extended = Vec::new();
        let first =
            (found.nlink() > 1 && !kind.is_dir()).then(|| self.links.get(&(found.dev(), found.ino()))).flatten();
        let target = if let Some(first) = first {
            header.set_entry_type(EntryType::Link);
            let mut target = OsString::from("./");
            target.push(first);
            Some(target)
        } else if kind.is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            Some(fs_err::read_link(&full)?.into_os_string())
        } else {
            if kind.is_dir() {
                header.set_entry_type(EntryType::Directory);
            } else if kind.is_file() {
                header.set_entry_type(EntryType::Regular);
                header.set_size(found.len());
            } else if kind.is_fifo() {
                header.set_entry_type(EntryType::Fifo);
            } else {
                header.set_entry_type(if kind.is_char_device() { EntryType::Char } else { EntryType::Block });
                header.set_device_major(rustix::fs::major(found.rdev()))?;
                header.set_device_minor(rustix::fs::minor(found.rdev()))?;
            }
            extended.extend(attributes(&full)?);
            if found.nlink() > 1 && !kind.is_dir() {
                self.links.insert((found.dev(), found.ino()), path.to_owned());
            }
            None
        };
        if !fits(&mut header, &name, target.as_deref()) {
            extended.push(("path".into(), name.as_bytes().to_vec()));
            if let Some(target) = &target {
                extended.push(("linkpath".into(), target.as_bytes().to_vec()));
            }
        }
        header.set_cksum();
        if !extended.is_empty() {
            self.extended(&extended)?;
        }
        let mut listed = File {
            path: file::escape(path.as_os_str().as_bytes()),
            kind: Kind::Other,
            mode: found.mode() & 0o7777,
            uid: found.uid(),
            gid: found.gid(),
            ..File::default()
        };
        if header.entry_type() == EntryType::Regular {
            let mut content = Hashing::new(fs_err::File::open(&full)?);
            self.builder.append(&header, &mut content).with_context(|| format!("reading {}", full.display()))?;
            listed.sha256 = Some(content.finish().1);
            (listed.kind, listed.size) = (Kind::File, found.len());
            if found.nlink() > 1 {
                self.hashes.insert((found.dev(), found.ino()), listed.sha256.clone());
            }
        } else {
            self.builder.append(&header, std::io::empty())?;
            if kind.is_dir() {
                listed.kind = Kind::Dir;
            } else if kind.is_file() {
                // Another name of a file that was there already.
                (listed.kind, listed.size) = (Kind::File, found.len());
                listed.sha256 = self.hashes.get(&(found.dev(), found.ino())).cloned().flatten();
            } else if kind.is_symlink() {
                listed.kind = Kind::Symlink;
                listed.target = target.as_ref().map(|target| file::escape(target.as_bytes()));
            }
        }
        self.files.push(listed);
        Ok(())
    }

    /// A header of its own that adds to the next one. (The library's would begin with the time of day.)
    fn extended(&mut self, records: &[(String, Vec<u8>)]) -> Result<()> {
        let mut data = Vec::new();
        for (key, value) in records {
            let mut rest = Vec::with_capacity(key.len() + value.len() + 3);
            rest.extend_from_slice(b" ");
            rest.extend_from_slice(key.as_bytes());
            rest.extend_from_slice(b"=");
            rest.extend_from_slice(value);
            rest.extend_from_slice(b"\n");
            // The length counts its own digits.
            let mut length = rest.len() + 1;
            while length != rest.len() + length.to_string().len() {
                length = rest.len() + length.to_string().len();
            }
            data.extend_from_slice(length.to_string().as_bytes());
            data.append(&mut rest);
        }
        let mut header = Header::new_ustar();
        header.set_path("././@PaxHeader")?;
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_size(data.len() as u64);
        header.set_cksum();
        Ok(self.builder.append(&header, &data[..])?)
    }
}

/// Puts the names into the old header. Whether they fit there; what is put then is cut, for readers that know no other.
fn fits(header: &mut Header, name: &OsStr, target: Option<&OsStr>) -> bool {
    fn put(field: &mut [u8], value: &[u8]) -> bool {
        let length = value.len().min(field.len());
        field[..length].copy_from_slice(&value[..length]);
        length == value.len()
    }
    let Some(old) = header.as_ustar_mut() else { return false };
    let name = put(&mut old.name, name.as_bytes());
    name & target.is_none_or(|target| put(&mut old.linkname, target.as_bytes()))
}

fn attributes(path: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    for name in ATTRIBUTES {
        let mut value = vec![0; 4096];
        match rustix::fs::lgetxattr(path, name, &mut value[..]) {
            Ok(length) => {
                value.truncate(length);
                found.push((format!("SCHILY.xattr.{name}"), value));
            }
            Err(rustix::io::Errno::NODATA | rustix::io::Errno::NOTSUP) => {}
            Err(error) => {
                let error = Error::from(std::io::Error::from(error));
                return Err(error.context(format!("reading {name} of {}", path.display())));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn tar(root: &Path) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(root, 1000, &mut bytes).unwrap();
        bytes
    }

    fn tree(order: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs_err::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let long = "d".repeat(120);
        fs_err::create_dir(dir.path().join("sub")).unwrap();
        for name in order {
            fs_err::write(dir.path().join("sub").join(name), name).unwrap();
        }
        fs_err::write(dir.path().join(&long), "long").unwrap();
        fs_err::hard_link(dir.path().join("sub/a"), dir.path().join("z")).unwrap();
        symlink("sub/a", dir.path().join("link")).unwrap();
        dir
    }

    #[test]
    fn the_same_tree_gives_the_same_bytes() {
        let (one, two) = (tree(&["a", "b", "c"]), tree(&["c", "a", "b"]));
        assert_eq!(tar(one.path()), tar(two.path()));
        fs_err::write(two.path().join("sub/b"), "B").unwrap();
        assert_ne!(tar(one.path()), tar(two.path()));
    }

    #[test]
    fn all_of_it_is_there() {
        let bytes = tar(tree(&["a", "b"]).path());
        let mut archive = tar::Archive::new(&bytes[..]);
        let told: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                assert!(entry.header().mtime().unwrap() <= 1000);
                let link =
                    entry.link_name().unwrap().map_or_else(String::new, |link| format!(" -> {}", link.display()));
                format!("{}{link}", entry.path().unwrap().display())
            })
            .collect();
        let long = format!("./{}", "d".repeat(120));
        let files = write(tree(&["a"]).path(), 1000, std::io::sink()).unwrap();
        let (a, z) = (files.iter().find(|file| file.path == "sub/a").unwrap(), files.last().unwrap());
        assert!(a.sha256.is_some() && a.sha256 == z.sha256, "two names of one file: {z:?}");
        assert_eq!(told, ["./", &long, "./link -> sub/a", "./sub", "./sub/a", "./sub/b", "./z -> ./sub/a"]);
    }
}
