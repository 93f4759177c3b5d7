//! Whether an image is the same bits every time: built twice from nothing, and compared.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::build::{Builder, BuiltDisk, Inputs};
use super::debs;
use super::disk::pack;
use super::record::{diff, file};
use super::stop::Stop;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::Context;
use crate::{Error, Result};

/// How many differing files are named.
const NAMED: usize = 20;

/// What two builds gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Whether all of it is the same.
    pub identical: bool,
    /// What was compared.
    pub artefacts: Vec<Compared>,
    /// The first files that differ, and how.
    pub differing: Vec<String>,
}

/// One thing of both builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// `root.tar`, `root.ext4`, `disk.raw`, and the disk in its format.
    pub name: String,
    /// SHA-256 of the first build's, in hexadecimal.
    pub first: String,
    /// SHA-256 of the second build's.
    pub second: String,
}

impl Verified {
    /// Also holds the stored build against the two: what is identical twice must be what is used.
    ///
    /// # Errors
    /// Fails where its disk cannot be read.
    pub fn held_against(&mut self, stored: &BuiltDisk) -> Result<()> {
        let (name, found) = (stored.file.file_name().unwrap_or_default(), debs::hash(&stored.file)?);
        if self.artefacts.iter().any(|compared| compared.name == name && compared.first != found) {
            self.identical = false;
            self.differing.push(format!("the stored {name} is another than both builds'"));
        }
        Ok(())
    }
}

/// Builds the disk twice, each time from an empty cache in another folder (packages come from the store, by their hashes), and
/// compares.
///
/// # Errors
/// Fails where a build does. That the builds differ is no error here.
pub fn verify(
    config: &Config,
    clock: &dyn Clock,
    inputs: &Inputs,
    stop: &Stop,
    progress: &dyn Fn(&str),
) -> Result<Verified> {
    fs_err::create_dir_all(&config.cache_dir)?;
    let dir = tempfile::Builder::new().prefix("verify.").tempdir_in(&config.cache_dir).context("making a folder")?;
    let dir = Utf8Path::from_path(dir.path()).ok_or_else(|| Error::failed("the cache folder is not UTF-8"))?;
    // Of other lengths too: a path that got into the result would move what comes after it.
    let [first, second] = ["one", "another-place/of/the-second"].map(|name| dir.join(name));
    let build = |which: &str, folder: &Utf8Path| {
        fs_err::create_dir_all(folder)?;
        fs_err::create_dir_all(config.cache_dir.join("debs"))?;
        fs_err::os::unix::fs::symlink(config.cache_dir.join("debs"), folder.join("debs"))?;
        let config = Config { cache_dir: folder.to_owned(), ..config.clone() };
        let builder = Builder::new(&config, clock).with_stop(stop.clone());
        builder.build_disk(inputs, &|line| progress(&format!("{which}: {line}")))
    };
    let first = build("first build", &first)?;
    let second = build("second build", &second)?;
    progress("comparing");
    compare(&first, &second)
}

/// Compares two builds.
///
/// # Errors
/// Fails where a file of them cannot be read.
pub fn compare(first: &BuiltDisk, second: &BuiltDisk) -> Result<Verified> {
    let tar = |built: &BuiltDisk| Ok::<_, Error>(fs_err::read_to_string(built.filesystem.join(pack::HASH))?);
    let mut artefacts = vec![Compared { name: "root.tar".into(), first: tar(first)?, second: tar(second)? }];
    let files = |built: &BuiltDisk| {
        let format = built.file.clone();
        [built.filesystem.join("root.ext4"), built.raw.clone(), format]
    };
    for (one, other) in files(first).into_iter().zip(files(second)) {
        let name = one.file_name().unwrap_or_default().to_owned();
        artefacts.push(Compared { name, first: debs::hash(&one)?, second: debs::hash(&other)? });
    }
    let identical = artefacts.iter().all(|compared| compared.first == compared.second);
    let differing = if identical { Vec::new() } else { first_differing(first, second)? };
    Ok(Verified { identical, artefacts, differing })
}

fn first_differing(first: &BuiltDisk, second: &BuiltDisk) -> Result<Vec<String>> {
    let files = |stage: &Utf8PathBuf| file::read(fs_err::File::open(stage.join(pack::FILES))?);
    Ok(diff::first_differing(&files(&first.filesystem)?, &files(&second.filesystem)?, NAMED))
}
