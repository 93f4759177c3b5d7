//! Reading a fleet's own files from its folder.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest, Sha256};

use super::files::{Apart, Content, File, LARGE, MAX_BYTES};
use super::{Diagnostics, Node, Source, Value, glob, yaml};
use crate::error::Context;
use crate::{Error, Result};

/// The folders that are read with all that is in them.
const FOLDERS: [&str; 4] = [FILES, "images", "playbooks", "templates"];
/// The folder whose large files are kept apart.
const FILES: &str = "files";
/// Folders that hold what must not get into a revision.
const PRIVATE: [&str; 2] = ["keys", "secrets"];
/// Deeper folders are taken for a loop of symbolic links.
const MAX_DEPTH: usize = 32;

/// The file that makes a folder a fleet's.
pub(super) const MAIN: &str = "stead.yaml";

/// Reads the files that belong to a revision.
pub(super) fn own_files(dir: &Utf8Path) -> Result<BTreeMap<Utf8PathBuf, File>> {
    if !dir.join(MAIN).is_file() {
        return Err(Error::input(format!("{dir} has no {MAIN}"))
            .hint("`stead init` writes a fleet; `stead --fleet DIR` works on one that lies elsewhere"));
    }
    let root = dir.canonicalize_utf8().with_context(|| format!("reading {dir}"))?;
    let mut walk = Walk { root, files: BTreeMap::new(), bytes: 0 };
    walk.file(MAIN.into())?;
    let main = fs_err::read(walk.root.join(MAIN))?;
    for include in includes(&String::from_utf8_lossy(&main)) {
        walk.include(&include)?;
    }
    for folder in FOLDERS {
        if walk.root.join(folder).is_dir() {
            walk.folder(folder.into(), 0)?;
        }
    }
    Ok(walk.files)
}

/// Names a large file's content, a piece of it at a time in memory.
fn apart(full: &Utf8Path) -> Result<Apart> {
    let mut hash = Sha256::new();
    let size = std::io::copy(&mut fs_err::File::open(full)?, &mut hash).with_context(|| format!("reading {full}"))?;
    Ok(Apart { hash: hex::encode(hash.finalize()), size, from: full.to_owned() })
}

/// What `include` names, as far as it can be made out: mistakes in it are the loader's to report.
fn includes(main: &str) -> Vec<Utf8PathBuf> {
    let node = yaml::parse(&Source::new(MAIN, main), &Diagnostics::new());
    let Some(Value::Seq(items)) = node.as_ref().and_then(|node| node.get("include")).map(|node| &node.value) else {
        return Vec::new();
    };
    let inner = |path: &Utf8Path| path.components().all(|part| matches!(part, camino::Utf8Component::Normal(_)));
    items.iter().filter_map(Node::as_str).map(Utf8PathBuf::from).filter(|path| inner(path)).collect()
}

struct Walk {
    root: Utf8PathBuf,
    files: BTreeMap<Utf8PathBuf, File>,
    bytes: u64,
}

impl Walk {
    /// Reads what an `include` names. A file that is not there is left to the loader, which knows the line that named it.
    fn include(&mut self, pattern: &Utf8Path) -> Result<()> {
        let mut found = vec![Utf8PathBuf::new()];
        for part in pattern.iter() {
            let mut next = Vec::new();
            for folder in found {
                if !glob::is_pattern(part) {
                    next.push(folder.join(part));
                } else if self.root.join(&folder).is_dir() {
                    next.extend(
                        self.names(&folder)?
                            .into_iter()
                            .filter(|name| glob::name_matches(part, name))
                            .map(|name| folder.join(name)),
                    );
                }
            }
            found = next;
        }
        for path in found {
            if self.root.join(&path).is_file() && !is_private(&path) {
                self.file(path)?;
            }
        }
        Ok(())
    }

    fn folder(&mut self, folder: Utf8PathBuf, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Error::input(format!("{folder} lies deeper than {MAX_DEPTH} folders"))
                .hint("a symbolic link that points at a folder above it makes such a loop"));
        }
        for name in self.names(&folder)? {
            let path = folder.join(&name);
            let kind = fs_err::metadata(self.root.join(&path))?;
            if kind.is_dir() {
                self.inside(&path)?;
                self.folder(path, depth + 1)?;
            } else if kind.is_file() {
                self.file(path)?;
            } else {
                return Err(Error::input(format!("{path} is neither a file nor a folder"))
                    .hint("take it out of the fleet's folder"));
            }
        }
        Ok(())
    }

    /// The names in a folder, sorted, without hidden ones.
    fn names(&self, folder: &Utf8Path) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs_err::read_dir(self.root.join(folder))? {
            let name = entry?.file_name().into_string().map_err(|name| {
                Error::input(format!("the name {name:?} in {folder}/ is not UTF-8")).hint("rename that file")
            })?;
            if !name.starts_with('.') {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn file(&mut self, path: Utf8PathBuf) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        self.inside(&path)?;
        let full = self.root.join(&path);
        let metadata = fs_err::metadata(&full)?;
        let executable = metadata.permissions().mode() & 0o100 != 0;
        if metadata.len() >= LARGE && path.starts_with(FILES) {
            let content = Content::Apart(apart(&full)?);
            self.files.insert(path, File { content, executable });
            return Ok(());
        }
        self.bytes += metadata.len();
        if self.bytes > MAX_BYTES && !self.files.contains_key(&path) {
            return Err(Error::input(format!(
                "the fleet's files hold more than {} MiB; {path} alone has {} KiB",
                MAX_BYTES >> 20,
                metadata.len() >> 10
            ))
            .hint("put large files into files/, where they are kept apart, or let nodes fetch them with a `download` task"));
        }
        let content = fs_err::read(&full)?.into();
        self.files.insert(path, File { content, executable });
        Ok(())
    }

    /// Refuses what lies elsewhere: a revision must not take in what its folder's owner never put there.
    fn inside(&self, path: &Utf8Path) -> Result<()> {
        let real = self.root.join(path).canonicalize_utf8().with_context(|| format!("reading {path}"))?;
        match real.strip_prefix(&self.root) {
            Ok(inner) if !is_private(inner) => Ok(()),
            Ok(inner) => Err(Error::input(format!("{path} is a symbolic link to {inner}, which is kept private"))
                .hint("remove the link; secrets are given with `stead secret set`")),
            Err(_) => {
                Err(Error::input(format!("{path} is a symbolic link that leaves the fleet's folder (to {real})"))
                    .hint("copy the file into the fleet's folder"))
            }
        }
    }
}

fn is_private(path: &Utf8Path) -> bool {
    path.iter().any(|name| name.starts_with('.')) || path.iter().next().is_some_and(|name| PRIVATE.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(files: &[(&str, &str)]) -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        for (path, text) in files {
            fs_err::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs_err::write(root.join(path), text).unwrap();
        }
        (dir, root)
    }

    #[test]
    fn takes_what_belongs_to_a_revision_and_nothing_private() {
        let (_dir, root) = fleet(&[
            (MAIN, "include: [tiers.yaml, 'customers/*.yaml', missing.yaml, ../out.yaml, keys/x.yaml]"),
            ("tiers.yaml", "x"),
            ("customers/a.yaml", "x"),
            ("customers/b.txt", "x"),
            ("playbooks/app.yaml", "x"),
            ("images/mine/overlay/etc/motd", "x"),
            ("files/.hidden", "x"),
            (".stead/store.db", "x"),
            ("secrets/acme/KEY.age", "x"),
            ("keys/x.yaml", "x"),
            ("notes.yaml", "x"),
        ]);
        let files = own_files(&root).unwrap();
        assert_eq!(
            files.keys().map(|path| path.as_str()).collect::<Vec<_>>(),
            ["customers/a.yaml", "images/mine/overlay/etc/motd", "playbooks/app.yaml", "stead.yaml", "tiers.yaml"]
        );
    }

    #[test]
    fn links_may_stay_inside_and_never_lead_out_or_to_secrets() {
        let (_dir, root) = fleet(&[(MAIN, ""), ("files/a", "x"), ("secrets/acme/KEY.age", "x")]);
        std::os::unix::fs::symlink("a", root.join("files/b")).unwrap();
        assert_eq!(own_files(&root).unwrap().len(), 3);
        for (target, message) in
            [("/etc/hostname", "leaves the fleet's folder"), ("../secrets/acme/KEY.age", "kept private")]
        {
            std::os::unix::fs::symlink(target, root.join("files/c")).unwrap();
            let error = own_files(&root).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
            fs_err::remove_file(root.join("files/c")).unwrap();
        }
        std::os::unix::fs::symlink("..", root.join("files/loop")).unwrap();
        assert!(own_files(&root).is_err());
    }

    #[test]
    fn a_fleet_that_is_too_large_says_which_file() {
        let (_dir, root) = fleet(&[(MAIN, ""), ("files/big", ""), ("templates/big", "")]);
        let grow = |name: &str| {
            let file = std::fs::File::options().write(true).open(root.join(name)).unwrap();
            file.set_len(MAX_BYTES + 1).unwrap();
        };
        grow("files/big");
        let files = own_files(&root).unwrap();
        let Content::Apart(apart) = &files[Utf8Path::new("files/big")].content else { panic!("held in memory") };
        assert_eq!(apart.size, MAX_BYTES + 1);
        grow("templates/big");
        assert!(own_files(&root).unwrap_err().to_string().contains("templates/big"));
    }

    #[test]
    fn a_folder_without_a_fleet_says_what_to_do() {
        let (_dir, root) = fleet(&[]);
        assert!(own_files(&root).unwrap_err().hints()[0].contains("stead init"));
    }
}
