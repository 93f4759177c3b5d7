//! The local store of .deb files, by their hashes: what a build takes packages from, with or without a network.
//!
//! ```text
//! CACHE/debs/SHA256.deb       a package's file; verified when it came, and again before every use
//! CACHE/debs/SHA256.control   what it says of itself, for the index that apt reads
//! CACHE/debs/.incoming.PID/   files that are being fetched
//! ```

use std::os::unix::fs::symlink;
use std::process::Stdio;

use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest, Sha256};

use super::lock::{Lock, Locked};
use super::sources::Sources;
use super::stop::Stop;
use crate::error::Context;
use crate::fleet::scalar::Bytes;
use crate::tool::{Tool, tail};
use crate::{Error, Result};

pub(super) const DPKG_DEB: Tool = Tool { program: "dpkg-deb", package: "dpkg", purpose: "read packages" };
/// apt's own fetcher: it knows this machine's proxies.
const APT_HELPER: Tool = Tool { program: "/usr/lib/apt/apt-helper", package: "apt", purpose: "fetch packages" };
/// How many files one call of the fetcher gets: enough to keep a connection busy, few enough to tell how far it is.
const BATCH: usize = 24;

/// The store.
#[derive(Debug, Clone)]
pub struct Debs {
    dir: Utf8PathBuf,
}

impl Debs {
    /// The store under this cache folder.
    pub fn new(cache_dir: &Utf8Path) -> Self {
        Self { dir: cache_dir.join("debs") }
    }

    /// Where a package's file lies, or would.
    pub fn path(&self, package: &Locked) -> Utf8PathBuf {
        self.dir.join(package.file_name())
    }

    /// The packages of a lock that are not in the store.
    pub fn missing<'a>(&self, lock: &'a Lock) -> Vec<&'a Locked> {
        lock.packages.iter().filter(|package| !self.path(package).is_file()).collect()
    }

    /// Fetches what is missing and verifies all of the lock's files. Without anything missing no network is needed.
    ///
    /// # Errors
    /// Fails where an archive does not answer or has no such version any more, and where a file is not what the lock names;
    /// such a file does not get into the store.
    pub fn bring(
        &self,
        lock: &Lock,
        sources: impl FnOnce() -> Result<Sources>,
        stop: &Stop,
        progress: &dyn Fn(&str),
    ) -> Result<()> {
        fs_err::create_dir_all(&self.dir).context("opening the store of packages")?;
        let missing = self.missing(lock);
        if !missing.is_empty() {
            self.fetch(lock, &missing, &sources()?, stop, progress)?;
        }
        progress("verifying packages");
        for package in &lock.packages {
            stop.check()?;
            let path = self.path(package);
            let found = hash(&path)?;
            if found != package.sha256 {
                // So that the next build fetches it anew.
                fs_err::remove_file(&path)?;
                return Err(Error::failed(format!(
                    "the stored file of {} {} was changed: its SHA-256 is {found}, the lock says {}",
                    package.name, package.version, package.sha256
                ))
                .hint(
                    "it was removed from the store; run the command again to fetch it, and check this machine's disk",
                ));
            }
        }
        Ok(())
    }

    fn fetch(
        &self,
        lock: &Lock,
        missing: &[&Locked],
        sources: &Sources,
        stop: &Stop,
        progress: &dyn Fn(&str),
    ) -> Result<()> {
        let incoming = tempfile::Builder::new()
            .prefix(".incoming.")
            .tempdir_in(&self.dir)
            .map_err(|error| Error::from(error).context("opening the store of packages"))?;
        let incoming =
            Utf8Path::from_path(incoming.path()).ok_or_else(|| Error::failed("the cache folder is not UTF-8"))?;
        let total = Bytes(missing.iter().map(|package| package.size).sum()).rounded();
        let mut done = 0;
        for batch in missing.chunks(BATCH) {
            progress(&format!("fetching packages: {done} of {} ({total})", missing.len()));
            let mut command = APT_HELPER.command()?;
            command.args(["-o", "APT::Sandbox::User=root", "download-file"]);
            for package in batch {
                command
                    .arg(sources.url(package.archive, &package.path))
                    .arg(incoming.join(package.file_name()))
                    // The fetcher checks it as well, so that a wrong file is told with its address.
                    .arg(format!("SHA256:{}", package.sha256));
            }
            let output = stop.spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?.output()?;
            let said =
                format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            for package in batch {
                self.take(incoming, package, lock, &said)?;
            }
            done += batch.len();
        }
        Ok(())
    }

    /// Takes a fetched file into the store, if it is the right one.
    fn take(&self, incoming: &Utf8Path, package: &Locked, lock: &Lock, said: &str) -> Result<()> {
        let file = incoming.join(package.file_name());
        if !file.is_file() {
            return Err(gone(package, lock, said));
        }
        let found = hash(&file)?;
        if found != package.sha256 {
            return Err(mismatch(package, &found));
        }
        fs_err::write(file.with_extension("control"), control(&file)?)?;
        fs_err::File::open(&file)?.sync_all()?;
        fs_err::rename(file.with_extension("control"), self.path(package).with_extension("control"))?;
        // Last: a file that is there is whole, with what it says of itself.
        Ok(fs_err::rename(&file, self.path(package))?)
    }

    /// Writes the lock's files as a tar stream, to be brought to another machine.
    ///
    /// # Errors
    /// Fails where one is not in the store.
    pub fn export(&self, lock: &Lock, output: impl std::io::Write) -> Result<()> {
        let mut archive = tar::Builder::new(output);
        archive.mode(tar::HeaderMode::Deterministic);
        for package in &lock.packages {
            let path = self.path(package);
            archive
                .append_path_with_name(&path, package.file_name())
                .with_context(|| format!("reading {} {}", package.name, package.version))?;
        }
        Ok(archive.into_inner()?.flush()?)
    }

    /// Takes files from a stream that [`Debs::export`] wrote. Each is stored under its own hash, whatever it is called there, so
    /// that none can pass for another. Returns how many.
    ///
    /// # Errors
    /// Fails where the stream is damaged, or holds something else than packages.
    pub fn import(&self, input: impl std::io::Read) -> Result<usize> {
        fs_err::create_dir_all(&self.dir)?;
        let incoming = tempfile::Builder::new().prefix(".incoming.").tempdir_in(&self.dir)?;
        let incoming =
            Utf8Path::from_path(incoming.path()).ok_or_else(|| Error::failed("the cache folder is not UTF-8"))?;
        let (mut archive, mut count) = (tar::Archive::new(input), 0);
        for entry in archive.entries().context("reading the packages")? {
            let mut entry = entry.context("reading the packages")?;
            let file = incoming.join("package.deb");
            std::io::copy(&mut entry, &mut fs_err::File::create(&file)?).context("reading the packages")?;
            fs_err::File::open(&file)?.sync_all()?;
            let place = self.dir.join(format!("{}.deb", hash(&file)?));
            fs_err::write(place.with_extension("control"), control(&file)?)?;
            fs_err::rename(&file, &place)?;
            count += 1;
        }
        Ok(count)
    }

    /// Writes an archive of exactly the lock's packages into `dir`, which apt can install from: links, an index, and what names its
    /// suite (mmdebstrap takes essential packages only from the suite that it is told).
    ///
    /// # Errors
    /// Fails where a package is not in the store or cannot be read.
    pub fn archive(&self, lock: &Lock, dir: &Utf8Path) -> Result<()> {
        let mut index = String::new();
        for package in &lock.packages {
            let file = self.path(package);
            symlink(&file, dir.join(package.file_name()))?;
            let kept = fs_err::read_to_string(file.with_extension("control")).unwrap_or_default();
            // Only the file itself is verified; a power cut may have left what was noted of it half written.
            let field = |name: &str, value: &str| kept.lines().any(|line| line == format!("{name}: {value}"));
            let whole = field("Package", &package.name) && field("Version", &package.version) && kept.ends_with('\n');
            let control = if whole { kept } else { control(&file)? };
            let Locked { sha256, size, .. } = package;
            index += &format!(
                "{}\nFilename: ./{}\nSize: {size}\nSHA256: {sha256}\n\n",
                control.trim_end(),
                package.file_name()
            );
        }
        fs_err::write(dir.join("Packages"), &index)?;
        let release = format!(
            "Suite: {0}\nCodename: {0}\nDate: {1}\nSHA256:\n {2} {3} Packages\n",
            lock.suite,
            lock.date.format("%a, %d %b %Y %H:%M:%S UTC"),
            hex::encode(Sha256::digest(&index)),
            index.len()
        );
        Ok(fs_err::write(dir.join("Release"), release)?)
    }
}

fn control(file: &Utf8Path) -> Result<String> {
    DPKG_DEB.run(["--field", file.as_str()]).with_context(|| format!("reading what {file} says of itself"))
}

/// SHA-256 of a file, in hexadecimal digits.
pub(super) fn hash(path: &Utf8Path) -> Result<String> {
    let mut hash = Sha256::new();
    std::io::copy(&mut fs_err::File::open(path)?, &mut hash).with_context(|| format!("reading {path}"))?;
    Ok(hex::encode(hash.finalize()))
}

fn mismatch(package: &Locked, found: &str) -> Error {
    Error::failed(format!(
        "{} {} is not what the lock names: the archive's file has the SHA-256 {found}, the lock says {}",
        package.name, package.version, package.sha256
    ))
    .hint("a version never changes its content: the archive or the way to it is not to be trusted, or the lock was edited; compare the lock with version control")
}

/// Why a file did not come: a version that has left the archive, or an archive that does not answer.
fn gone(package: &Locked, lock: &Lock, said: &str) -> Error {
    let Locked { name, version, path, .. } = package;
    if said.contains("Hash Sum mismatch") {
        return mismatch(package, "of something else");
    }
    if said.contains("404") || said.contains("File not found") {
        return Error::failed(format!("{name} {version} has left the archive ({path})"))
            .hint("bring it from a machine that has it: `stead image debs export NAME FILE` there, `stead image debs import FILE` here")
            .hint(format!("or name an archive of all times (`mirror` in the definition: a snapshot of {})", lock.date.format("%Y-%m-%d")))
            .hint("or take the newer version: `stead image lock NAME --update`");
    }
    Error::failed(format!("fetching {name} {version} failed"))
        .because(tail(said, 8))
        .hint("check this machine's network and its apt sources (`apt-get update`); what came is stored, and the next run goes on from there")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package of nothing, made by dpkg itself.
    fn deb(dir: &Utf8Path, version: &str) -> Utf8PathBuf {
        let tree = dir.join("tree");
        fs_err::create_dir_all(tree.join("DEBIAN")).unwrap();
        let control = format!(
            "Package: nothing\nVersion: {version}\nArchitecture: all\nMaintainer: x <x@y.invalid>\nDescription: x\n"
        );
        fs_err::write(tree.join("DEBIAN/control"), control).unwrap();
        let file = dir.join("nothing.deb");
        DPKG_DEB.run(["--root-owner-group", "--build", tree.as_str(), file.as_str()]).unwrap();
        file
    }

    fn locked(sha256: &str) -> Lock {
        let mut lock = Lock::sample();
        let sample = lock.packages.remove(0);
        lock.packages.push(Locked { name: "nothing".into(), version: "1".into(), sha256: sha256.into(), ..sample });
        lock
    }

    #[test]
    fn what_was_exported_is_taken_elsewhere_and_nothing_else_passes_for_it() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(temp.path()).unwrap();
        let (here, there) = (Debs::new(&dir.join("here")), Debs::new(&dir.join("there")));
        let file = deb(dir, "1");
        let lock = locked(&hash(&file).unwrap());
        fs_err::create_dir_all(&here.dir).unwrap();
        fs_err::copy(&file, here.path(&lock.packages[0])).unwrap();
        let mut bytes = Vec::new();
        here.export(&lock, &mut bytes).unwrap();
        assert_eq!(there.missing(&lock).len(), 1);
        assert_eq!(there.import(&bytes[..]).unwrap(), 1);
        assert!(there.missing(&lock).is_empty());
        let no_network = || Err(Error::failed("no network"));
        there.bring(&lock, no_network, &Stop::default(), &|_| {}).unwrap();
        let archive = dir.join("archive");
        fs_err::create_dir_all(&archive).unwrap();
        there.archive(&lock, &archive).unwrap();
        assert!(fs_err::read_to_string(archive.join("Packages")).unwrap().contains("Package: nothing\n"));

        // Changed where it lies: the build stops, and the file goes.
        fs_err::write(there.path(&lock.packages[0]), "other").unwrap();
        let error = there.bring(&lock, no_network, &Stop::default(), &|_| {}).unwrap_err();
        assert!(error.to_string().contains("was changed"), "{error:?}");
        assert_eq!(there.missing(&lock).len(), 1);
        let error = there.bring(&lock, no_network, &Stop::default(), &|_| {}).unwrap_err();
        assert_eq!(error.to_string(), "no network", "it must be fetched anew");
    }

    #[test]
    fn another_file_or_none_stops_the_build() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(temp.path()).unwrap();
        let debs = Debs::new(dir);
        fs_err::create_dir_all(&debs.dir).unwrap();
        let lock = locked(&"a".repeat(64));
        let package = &lock.packages[0];
        let error = debs.take(dir, package, &lock, "E: 404  Not Found").unwrap_err();
        assert!(error.to_string().contains("has left the archive") && error.hints().len() == 3, "{error:?}");
        let error = debs.take(dir, package, &lock, "Could not connect").unwrap_err();
        assert!(error.to_string().contains("fetching nothing 1 failed"), "{error:?}");
        fs_err::write(dir.join(package.file_name()), "evil").unwrap();
        let error = debs.take(dir, package, &lock, "").unwrap_err();
        assert!(error.to_string().contains("is not what the lock names"), "{error:?}");
        assert_eq!(debs.missing(&lock).len(), 1);
    }
}
