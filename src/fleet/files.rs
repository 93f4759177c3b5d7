//! A fleet's files as one snapshot.
//!
//! Whatever loads YAML, renders a template or builds an image takes its files from a [`FileSet`], never from a folder:
//! so a worker on another machine needs only the revision that a workflow pins. The set holds what ships with this
//! program (`images/`, `templates/`, `playbooks/`) with the fleet's own files laid over it: a playbook or template of the
//! same name replaces the shipped one, and a folder `images/NAME/` with an `image.yaml` replaces the shipped image of that
//! name as a whole. (One without has only the lock of the shipped image.)

use std::collections::BTreeMap;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use include_dir::{Dir, include_dir};
use sha2::{Digest, Sha256};

use super::{Diagnostics, Source};
use crate::error::Context;
use crate::{Error, Result};

static SHIPPED: [(&str, Dir<'static>); 3] = [
    ("images", include_dir!("$CARGO_MANIFEST_DIR/images")),
    ("playbooks", include_dir!("$CARGO_MANIFEST_DIR/playbooks")),
    ("templates", include_dir!("$CARGO_MANIFEST_DIR/templates")),
];

/// The most that a fleet's files may hold together, in bytes, apart from the large ones in `files/`: a plan goes to a node
/// in one frame of that size.
pub const MAX_BYTES: u64 = 64 << 20;
/// From this size on, in bytes, a file in `files/` is kept apart.
pub const LARGE: u64 = 1 << 20;
/// What an archive begins with; the number is its format's version.
const MAGIC: &[u8] = b"stead-files 1\n";
/// The same, of a set with files that are kept apart.
const MAGIC_APART: &[u8] = b"stead-files 2\n";
/// The flag of a file that is kept apart.
const APART: u8 = 2;
/// The length of a hash, in hexadecimal digits.
const HASH_LEN: usize = 64;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// What it holds.
    pub content: Content,
    /// Whether its owner may execute it.
    pub executable: bool,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// In memory.
    Held(Arc<[u8]>),
    /// Too large for that: only named here. It lies in the fleet's folder, and once the files are published in the store.
    Apart(Apart),
}

impl<T: Into<Arc<[u8]>>> From<T> for Content {
    fn from(content: T) -> Self {
        Self::Held(content.into())
    }
}

/// Content that is kept apart.
#[derive(Debug, Clone)]
pub struct Apart {
    /// Its SHA-256, in lower-case hexadecimal digits.
    pub hash: String,
    /// Its length, in bytes.
    pub size: u64,
    /// Where it lies.
    pub from: Utf8PathBuf,
}

impl PartialEq for Apart {
    /// Where it lies does not matter.
    fn eq(&self, other: &Self) -> bool {
        (&self.hash, self.size) == (&other.hash, other.size)
    }
}

impl Eq for Apart {}

/// A fleet's files, by their path within the fleet's folder.
#[derive(Clone, PartialEq, Eq)]
pub struct FileSet(BTreeMap<Utf8PathBuf, File>);

impl FileSet {
    /// What ships with this program, and nothing else.
    pub fn shipped() -> Self {
        fn add(files: &mut BTreeMap<Utf8PathBuf, File>, root: &str, dir: &Dir<'static>) {
            for file in dir.files() {
                let path = Utf8Path::new(root).join(file.path().to_string_lossy().as_ref());
                if path.file_name().is_some_and(|name| name.starts_with('.')) {
                    continue;
                }
                // An embedded file has no mode; what begins as a script is one.
                let executable = file.contents().starts_with(b"#!");
                files.insert(path, File { content: file.contents().into(), executable });
            }
            dir.dirs().for_each(|dir| add(files, root, dir));
        }
        let mut files = BTreeMap::new();
        SHIPPED.iter().for_each(|(root, dir)| add(&mut files, root, dir));
        Self(files)
    }

    /// The given files laid over what ships.
    pub fn with_shipped(own: impl IntoIterator<Item = (Utf8PathBuf, File)>) -> Self {
        let own: BTreeMap<_, _> = own.into_iter().collect();
        let mut files = Self::shipped().0;
        files.retain(|path, _| match image_folder(path) {
            Some(folder) => !own.contains_key(&folder.join("image.yaml")),
            None => true,
        });
        files.extend(own);
        Self(files)
    }

    /// Reads a fleet's folder: `stead.yaml`, what it includes, and `playbooks/`, `templates/`, `images/`, `files/`.
    /// Hidden files are left out, and so are `secrets/` and `keys/`, which are no part of a revision.
    ///
    /// # Errors
    /// Fails where there is no `stead.yaml`, where a file cannot be read or a symbolic link leads out of the folder, and
    /// where the files together are larger than [`MAX_BYTES`].
    pub fn read(dir: &Utf8Path) -> Result<Self> {
        super::walk::own_files(dir).map(Self::with_shipped)
    }

    /// A file's content, unless it is kept apart.
    pub fn get(&self, path: impl AsRef<Utf8Path>) -> Option<&Arc<[u8]>> {
        match &self.0.get(path.as_ref())?.content {
            Content::Held(content) => Some(content),
            Content::Apart(_) => None,
        }
    }

    /// Whether a file's owner may execute it.
    pub fn is_executable(&self, path: impl AsRef<Utf8Path>) -> bool {
        self.0.get(path.as_ref()).is_some_and(|file| file.executable)
    }

    /// Puts a file into this set, in place of one of that name.
    pub fn put(&mut self, path: Utf8PathBuf, content: Arc<[u8]>) {
        self.0.insert(path, File { content: Content::Held(content), executable: false });
    }

    /// Opens content that is kept apart, by its hash. Whoever reads it is to check it against that.
    ///
    /// # Errors
    /// Fails where the set has no such content, or it does not lie where it was.
    pub fn open_apart(&self, hash: &str) -> Result<std::fs::File> {
        let (path, apart) = (self.apart().find(|(_, apart)| apart.hash == hash))
            .ok_or_else(|| Error::failed(format!("the fleet's files have no content {hash}")))?;
        std::fs::File::open(&apart.from).with_context(|| format!("reading {path} from {}", apart.from))
    }

    /// The contents that are kept apart.
    pub fn apart(&self) -> impl Iterator<Item = (&Utf8Path, &Apart)> {
        self.0.iter().filter_map(|(path, file)| match &file.content {
            Content::Apart(apart) => Some((path.as_path(), apart)),
            Content::Held(_) => None,
        })
    }

    /// A file with its mode.
    pub fn file(&self, path: impl AsRef<Utf8Path>) -> Option<&File> {
        self.0.get(path.as_ref())
    }

    /// A file as text to be parsed; `None` where there is no such file. A file that is not UTF-8 is reported.
    pub fn source(&self, path: impl AsRef<Utf8Path>, diagnostics: &Diagnostics) -> Option<Arc<Source>> {
        let content = self.get(path.as_ref())?;
        match std::str::from_utf8(content) {
            Ok(text) => Some(Source::new(path.as_ref(), text)),
            Err(error) => {
                let readable = String::from_utf8_lossy(&content[..error.valid_up_to()]);
                let source = Source::new(path.as_ref(), readable.as_ref());
                let mut span = super::Span::start_of(&source);
                span.line = u32::try_from(readable.matches('\n').count() + 1).unwrap_or(u32::MAX);
                span.column = readable.lines().last().map_or(1, |line| line.chars().count() as u32 + 1);
                diagnostics.error_hint(&span, "not UTF-8 text", "save the file in UTF-8");
                None
            }
        }
    }

    /// The paths below a folder (`playbooks`), sorted; all of them for an empty prefix.
    pub fn list(&self, prefix: impl AsRef<Utf8Path>) -> impl Iterator<Item = &Utf8Path> {
        let prefix = prefix.as_ref().to_owned();
        self.0.keys().map(Utf8PathBuf::as_path).filter(move |path| path.starts_with(&prefix))
    }

    /// The names by which playbooks are named: their paths in `playbooks/`, without `.yaml`.
    pub fn playbooks(&self) -> impl Iterator<Item = String> + '_ {
        self.list("playbooks")
            .filter_map(|path| path.strip_prefix("playbooks").ok()?.as_str().strip_suffix(".yaml").map(str::to_owned))
    }

    /// The names of the images: their folders hold an `image.yaml`.
    pub fn images(&self) -> impl Iterator<Item = String> + '_ {
        let defined = self.list("images").filter(|path| path.file_name() == Some("image.yaml"));
        defined.filter_map(|path| Some(path.parent()?.file_name()?.to_owned()))
    }

    /// SHA-256 over all paths, modes and contents, in hexadecimal. Two sets with the same digest are the same set.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(self.encode()))
    }

    /// The set as one compressed archive.
    ///
    /// # Errors
    /// Fails only where memory does.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(zstd::encode_all(&self.encode()[..], 3)?)
    }

    /// The set from its archive; `place` says where content that is kept apart lies, by its hash.
    ///
    /// # Errors
    /// Fails where the archive is broken, or was made by a program whose format this one does not know.
    pub fn from_bytes(bytes: &[u8], place: impl Fn(&str) -> Utf8PathBuf) -> Result<Self> {
        use std::io::Read;
        let mut plain = Vec::new();
        // Paths and lengths come on top of the contents.
        zstd::Decoder::new(bytes)?.take(2 * MAX_BYTES).read_to_end(&mut plain)?;
        Self::decode(&plain, place).ok_or_else(|| {
            Error::failed("the archive of the fleet's files is broken, or was made by a newer program")
                .hint("run the newest stead that has worked on this fleet, or publish its files again: stead apply")
        })
    }

    /// Sorted by path; each file as its path's length and text, flags, its content's length and bytes; of one that is kept
    /// apart, the hash in place of the bytes.
    fn encode(&self) -> Vec<u8> {
        let magic = if self.apart().next().is_some() { MAGIC_APART } else { MAGIC };
        let mut out = magic.to_vec();
        for (path, file) in &self.0 {
            out.extend_from_slice(&(path.as_str().len() as u32).to_be_bytes());
            out.extend_from_slice(path.as_str().as_bytes());
            let (flag, size, bytes) = match &file.content {
                Content::Held(content) => (0, content.len() as u64, &content[..]),
                Content::Apart(apart) => (APART, apart.size, apart.hash.as_bytes()),
            };
            out.push(u8::from(file.executable) | flag);
            out.extend_from_slice(&size.to_be_bytes());
            out.extend_from_slice(bytes);
        }
        out
    }

    fn decode(plain: &[u8], place: impl Fn(&str) -> Utf8PathBuf) -> Option<Self> {
        let mut rest = plain.strip_prefix(MAGIC).or_else(|| plain.strip_prefix(MAGIC_APART))?;
        let mut files = BTreeMap::new();
        while !rest.is_empty() {
            let (length, tail) = rest.split_first_chunk::<4>()?;
            let (path, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            let (&flag, tail) = tail.split_first()?;
            let (length, tail) = tail.split_first_chunk::<8>()?;
            let size = u64::from_be_bytes(*length);
            let is_apart = flag & APART != 0;
            let length = if is_apart { HASH_LEN } else { usize::try_from(size).ok()? };
            let (content, tail) = tail.split_at_checked(length)?;
            let content = if is_apart {
                let hash = std::str::from_utf8(content).ok()?.to_owned();
                Content::Apart(Apart { size, from: place(&hash), hash })
            } else {
                Content::Held(content.into())
            };
            let path = Utf8PathBuf::from(std::str::from_utf8(path).ok()?);
            files.insert(path, File { content, executable: flag & 1 != 0 });
            rest = tail;
        }
        Some(Self(files))
    }
}

impl std::fmt::Debug for FileSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// `images/NAME`, for a path within it.
fn image_folder(path: &Utf8Path) -> Option<Utf8PathBuf> {
    let mut parts = path.iter();
    (parts.next()? == "images").then_some(())?;
    Some(Utf8Path::new("images").join(parts.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File { content: text.as_bytes().into(), executable: false }
    }

    #[test]
    fn the_fleets_own_files_lie_over_the_shipped_ones() {
        let shipped = FileSet::shipped();
        let image = shipped.list("images/agent-node").next().expect("an image ships").to_owned();
        let lock = FileSet::with_shipped([("images/agent-node/lock.amd64.json".into(), file("{}"))]);
        assert!(lock.get(&image).is_some(), "a lock lies beside the shipped definition");
        let own = FileSet::with_shipped([("images/agent-node/image.yaml".into(), file("mine"))]);
        assert_eq!(own.list("images/agent-node").count(), 1, "an image is replaced as a whole");
        assert_eq!(own.list("playbooks").count(), shipped.list("playbooks").count());
    }

    #[test]
    fn an_archive_gives_the_same_set_and_the_same_bytes() {
        let mut set = FileSet::with_shipped([("stead.yaml".into(), file("fleet: {}"))]);
        let nowhere = |_: &str| Utf8PathBuf::new();
        let bytes = set.to_bytes().unwrap();
        assert_eq!(bytes, set.clone().to_bytes().unwrap());
        assert_eq!(FileSet::from_bytes(&bytes, nowhere).unwrap(), set);
        let digest = set.digest();
        set.0.get_mut(Utf8Path::new("stead.yaml")).unwrap().executable = true;
        assert_ne!(set.digest(), digest);
        let apart = Apart { hash: "a".repeat(HASH_LEN), size: 1 << 40, from: "x".into() };
        set.0.insert("files/big".into(), File { content: Content::Apart(apart), executable: true });
        assert_eq!(FileSet::from_bytes(&set.to_bytes().unwrap(), nowhere).unwrap(), set);
        for cut in 0..bytes.len() {
            assert!(FileSet::from_bytes(&bytes[..cut], nowhere).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_reported_with_their_line() {
        let set = FileSet(BTreeMap::from([(
            "stead.yaml".into(),
            File { content: b"a: 1\nb: \xff".as_slice().into(), executable: false },
        )]));
        let diagnostics = Diagnostics::new();
        assert!(set.source("stead.yaml", &diagnostics).is_none());
        let error = diagnostics.into_result(Some(())).unwrap_err();
        assert!(error.to_string().starts_with("stead.yaml:2:4: not UTF-8"), "{error}");
    }
}
