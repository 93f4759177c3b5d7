//! A root packed: its tar stream, and beside it what the image's record is made from.
//!
//! Runs in a helper process, the only one that sees the image's layers as one root.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::Path;

use camino::Utf8Path;

use super::archive;
use crate::error::Context;
use crate::hashing::Hashing;
use crate::image::record::file;
use crate::{Error, Result};

/// Every file, with its hash and its package: see [`file::write`].
pub const FILES: &str = "files.jsonl";
/// dpkg's record.
pub const STATUS: &str = "status";
/// Packages' copyright files, by package, in JSON.
pub const COPYRIGHTS: &str = "copyrights.json";
/// SHA-256 of the tar stream, in hexadecimal.
pub const HASH: &str = "root.tar.sha256";

/// Writes the root as a tar stream to `output`, and what the record is made from into the folder `record`.
///
/// # Errors
/// Fails where a file cannot be read or written, and where the stream ends.
pub fn pack(root: &Utf8Path, epoch: u64, record: &Utf8Path, output: impl Write) -> Result<()> {
    let mut output = Hashing::new(output);
    let mut files = archive::write(root.as_std_path(), epoch, &mut output)?;
    fs_err::write(record.join(HASH), output.finish().1)?;

    let mut lists = Vec::new();
    let info = root.join("var/lib/dpkg/info");
    for entry in info.read_dir_utf8().with_context(|| format!("reading {info}"))? {
        let entry = entry?;
        if let Some(name) = entry.file_name().strip_suffix(".list") {
            // A package of which there may be several architectures has its own in its name.
            let package = name.split(':').next().unwrap_or(name).to_owned();
            lists.push((package, fs_err::read(entry.path())?));
        }
    }
    file::attribute(&mut files, &file::owners(lists));
    let mut manifest = BufWriter::new(fs_err::File::create(record.join(FILES))?);
    file::write(&files, &mut manifest)?;
    manifest.flush()?;
    fs_err::copy(root.join("var/lib/dpkg/status"), record.join(STATUS))?;
    let copyrights = serde_json::to_vec(&copyrights(root)?)
        .map_err(|error| Error::failed("writing down the packages' copyrights").because(error))?;
    Ok(fs_err::write(record.join(COPYRIGHTS), copyrights)?)
}

fn copyrights(root: &Utf8Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for entry in root.join("usr/share/doc").read_dir_utf8()? {
        let entry = entry?;
        // Many are links to another package's folder beside them; one that leads out of here is not followed.
        let inner = match entry.path().read_link_utf8() {
            Ok(target) if target.as_str().contains('/') => continue,
            Ok(target) => target,
            Err(_) => entry.file_name().into(),
        };
        let file = root.join("usr/share/doc").join(inner).join("copyright");
        if Path::new(&file).is_symlink() {
            continue;
        }
        if let Ok(text) = fs_err::read(&file) {
            found.insert(entry.file_name().to_owned(), String::from_utf8_lossy(&text).into_owned());
        }
    }
    Ok(found)
}
