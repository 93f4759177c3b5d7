//! The files of an image, and its manifest: one file a line, as JSON (`files.jsonl`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};

use serde::{Deserialize, Serialize};

use crate::error::Context;
use crate::{Error, Result};

/// Folders whose files lie under `usr/` since Debian merged the two, whatever a package's list calls them.
const MERGED: [&str; 7] = ["bin", "lib", "lib32", "lib64", "libo32", "libx32", "sbin"];

/// What a file is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A regular file.
    #[default]
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A device, a pipe or a socket.
    Other,
}

/// One file of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its path below the root, without a slash before it; as [`escape`] writes it.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Its permission bits, with those for set-user-id, set-group-id and sticky.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of a regular file's content, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Where a symbolic link leads, as [`escape`] writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The package that it belongs to, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
}

/// Bytes as text that loses nothing and is safe to show: what is no UTF-8, control characters and the backslash become
/// `\xNN`.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let escaped = |text: &mut String, bytes: &[u8]| {
        for byte in bytes {
            let _ = write!(text, "\\x{byte:02x}");
        }
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' || c.is_control() {
                escaped(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                text.push(c);
            }
        }
        escaped(&mut text, chunk.invalid());
    }
    text
}

/// The bytes that [`escape`] was given.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let mut byte = [0];
        match rest {
            [b'\\', b'x', high, low, tail @ ..] if hex::decode_to_slice([*high, *low], &mut byte).is_ok() => {
                bytes.push(byte[0]);
                rest = tail;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

/// Writes a manifest, in the order that the files come in.
///
/// # Errors
/// Fails as the writer does.
pub fn write<'a>(files: impl IntoIterator<Item = &'a File>, mut out: impl Write) -> Result<()> {
    for file in files {
        let mut line = serde_json::to_vec(file).map_err(|error| Error::failed("describing a file").because(error))?;
        line.push(b'\n');
        out.write_all(&line).context("writing the list of files")?;
    }
    out.flush().context("writing the list of files")
}

/// Reads a manifest.
///
/// # Errors
/// Fails as the reader does, and at the first line that describes no file.
pub fn read(input: impl Read) -> Result<Vec<File>> {
    let lines = BufReader::new(input).split(b'\n');
    let files = lines.enumerate().map(|(at, line)| {
        let line = line.context("reading the list of files")?;
        serde_json::from_slice(&line).map_err(|error| {
            Error::failed(format!("line {} of the list of files describes no file", at + 1))
                .because(error)
                .hint("build the image again; its record is damaged")
        })
    });
    files.collect()
}

/// Which package each path belongs to, from dpkg's lists (`/var/lib/dpkg/info/PACKAGE.list`).
///
/// A path in several lists (most are folders) belongs to the package whose name sorts first.
pub fn owners<P: AsRef<str>, T: AsRef<[u8]>>(lists: impl IntoIterator<Item = (P, T)>) -> BTreeMap<String, String> {
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    for (package, list) in lists {
        // The list of a package that may be there for several architectures is called `libc6:amd64.list`.
        let package = package.as_ref().split(':').next().unwrap_or_default();
        for line in list.as_ref().split(|byte| *byte == b'\n') {
            let path = line.strip_prefix(b"/").unwrap_or(line);
            if path.is_empty() || path == b"." {
                continue;
            }
            let owner = owners.entry(merged(&escape(path))).or_insert_with(|| package.to_owned());
            if package < owner.as_str() {
                package.clone_into(owner);
            }
        }
    }
    owners
}

/// Notes on each file the package that it belongs to.
pub fn attribute(files: &mut [File], owners: &BTreeMap<String, String>) {
    for file in files {
        file.package = owners.get(&merged(&file.path)).cloned();
    }
}

/// A path as it is since `/bin`, `/lib` and `/sbin` are links to folders in `/usr`. The links themselves stay.
fn merged(path: &str) -> String {
    match path.split_once('/') {
        Some((first, _)) if MERGED.contains(&first) => format!("usr/{path}"),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_are_no_text_stay_apart() {
        assert_eq!(escape("usr/share/ä".as_bytes()), "usr/share/ä");
        assert_eq!(escape(b"caf\xe9"), "caf\\xe9");
        assert_eq!(escape(b"caf\\xe9"), "caf\\x5cxe9");
        assert_eq!(escape(b"a\x1b[2J"), "a\\x1b[2J");
        assert_eq!(unescape("\\x4"), b"\\x4");
    }

    #[test]
    fn files_belong_to_packages_in_the_merged_tree() {
        let owners = owners([
            ("tar", &b"/.\n/bin\n/bin/tar\n/usr\n/usr/share/doc/tar/\xe9\n"[..]),
            ("base-files", b"/.\n/usr\n/bin\n"),
            ("libc6:amd64", b"/usr/lib/x86_64-linux-gnu/libc.so.6\n"),
        ]);
        let paths = ["bin", "usr/bin/tar", "lib/x86_64-linux-gnu/libc.so.6", "usr/share/doc/tar/\\xe9", "etc/shadow"];
        let mut files = paths.map(|path| File { path: path.into(), ..File::default() });
        attribute(&mut files, &owners);
        let packages = files.each_ref().map(|file| file.package.as_deref());
        assert_eq!(packages, [Some("base-files"), Some("tar"), Some("libc6"), Some("tar"), None]);
        assert!(!owners.contains_key("") && !owners.contains_key("."));
    }

    #[test]
    fn a_damaged_line_is_named() {
        let good = r#"{"path":"bin","kind":"symlink","mode":511,"uid":0,"gid":0,"size":7,"target":"usr/bin"}"#;
        assert_eq!(read(good.as_bytes()).unwrap()[0].target.as_deref(), Some("usr/bin"));
        let error = read(format!("{good}\n{{}}\n").as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with("line 2 "), "{error}");
    }

    fn any_file() -> impl Strategy<Value = File> {
        let kind = prop::sample::select(vec![Kind::File, Kind::Dir, Kind::Symlink, Kind::Other]);
        let path = prop::collection::vec(any::<u8>(), 1..20).prop_map(|bytes| escape(&bytes));
        (path, kind, any::<[u32; 3]>(), any::<u64>(), any::<Option<u64>>()).prop_map(
            |(path, kind, [mode, uid, gid], size, hash)| File {
                target: hash.map(|hash| hash.to_string()),
                sha256: hash.map(|hash| format!("{hash:064x}")),
                package: hash.map(|_| path.clone()),
                ..File { path, kind, mode, uid, gid, size, ..File::default() }
            },
        )
    }

    proptest! {
        #[test]
        fn escaping_loses_nothing(bytes: Vec<u8>, text in "[\\\\x0-9a-f\u{e9}]{0,12}") {
            prop_assert_eq!(unescape(&escape(&bytes)), bytes);
            prop_assert_eq!(unescape(&escape(text.as_bytes())), text.as_bytes());
        }

        #[test]
        fn a_manifest_reads_back(files in prop::collection::vec(any_file(), 0..5)) {
            let mut text = Vec::new();
            write(&files, &mut text).unwrap();
            prop_assert_eq!(read(&text[..]).unwrap(), files);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}") {
            let _ = read(text.as_bytes());
        }
    }
}
