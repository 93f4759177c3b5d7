//! apt, in folders of its own: it resolves what an image is made of and fetches files, and neither reads nor touches what
//! this machine has installed.

use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::FlockOperation;
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::error::Context;
use crate::image::sources::Sources;
use crate::image::stop::Stop;
use crate::tool::{Tool, tail};
use crate::{Error, Result};

const APT_GET: Tool = Tool { program: "apt-get", package: "apt", purpose: "resolve an image's packages" };
const APT_CACHE: Tool = Tool { program: "apt-cache", package: "apt", purpose: "resolve an image's packages" };
const APT_CONFIG: Tool =
    Tool { program: "apt-config", package: "apt", purpose: "reach the archives as this machine does" };

/// apt with the lists of some archives, for one suite and architecture.
pub(super) struct Apt {
    dir: Utf8PathBuf,
    sources: Sources,
    suite: String,
    stop: Stop,
    _lock: fs_err::File,
}

impl Apt {
    /// Opens the folders in the cache. Whoever else uses the same ones is waited for.
    ///
    /// # Errors
    /// Fails where the cache folder cannot be written, or apt is not installed.
    pub(super) fn open(cache_dir: &Utf8Path, sources: &Sources, suite: &str, arch: &str, stop: &Stop) -> Result<Self> {
        let identity = Sha256::digest(format!("{}\n{}\n{suite}\n{arch}", sources.archive, sources.security));
        let dir = cache_dir.join("apt").join(hex::encode(&identity[..10]));
        for folder in ["lists/partial", "archives/partial", "sources", "none"] {
            fs_err::create_dir_all(dir.join(folder)).context("opening the cache of package lists")?;
        }
        let lock = fs_err::File::create(dir.join("lock"))?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(std::io::Error::from)?;
        fs_err::write(dir.join("status"), "")?;
        fs_err::write(dir.join("sources/archives.sources"), sources.deb822(suite))?;
        fs_err::write(dir.join("preferences"), "")?;
        fs_err::write(dir.join("apt.conf"), configuration(&dir, arch, &reach()?))?;
        Ok(Self { dir, sources: sources.clone(), suite: suite.to_owned(), stop: stop.clone(), _lock: lock })
    }

    /// Fetches the archives' lists, signatures checked.
    ///
    /// # Errors
    /// Fails where an archive does not answer, lacks the suite, or is not signed by Debian.
    pub(super) fn update(&self) -> Result<()> {
        let mut command = self.command(APT_GET)?;
        command.args(["update", "-qq", "-o", "APT::Update::Error-Mode=any"]);
        self.output(command, "apt-get update").map(drop).context("fetching the archives' lists")
    }

    /// Has apt keep to these versions (`name`, `version`) where the archives still have them.
    ///
    /// # Errors
    /// Fails as the file system does.
    pub(super) fn prefer<'a>(&self, versions: impl Iterator<Item = (&'a str, &'a str)>) -> Result<()> {
        let pins: String = versions
            // Above 1000: also where that is a step down.
            .map(|(name, version)| format!("Package: {name}\nPin: version {version}\nPin-Priority: 1001\n\n"))
            .collect();
        Ok(fs_err::write(self.dir.join("preferences"), pins)?)
    }

    /// What apt would fetch to install these (names or patterns) on an empty machine: the files' URLs.
    ///
    /// # Errors
    /// Fails where a package is not known or cannot be installed together with the others.
    pub(super) fn resolve(&self, wanted: &[String]) -> Result<Vec<Url>> {
        let mut command = self.command(APT_GET)?;
        command.args(["install", "-y", "-qq", "--print-uris"]).args(wanted);
        let said = self.output(command, "apt-get install")?;
        said.lines().map(|line| Url::parse(line).ok_or_else(|| Error::failed(format!("apt said: {line}")))).collect()
    }

    /// The archives' own stanzas of these packages (`name:arch=version`).
    ///
    /// # Errors
    /// Fails where one is not known.
    pub(super) fn show(&self, packages: &[String]) -> Result<String> {
        let mut command = self.command(APT_CACHE)?;
        command.arg("show").args(packages);
        self.output(command, "apt-cache show")
    }

    /// All packages' names.
    ///
    /// # Errors
    /// Fails as apt does.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let mut command = self.command(APT_CACHE)?;
        command.arg("pkgnames");
        Ok(self.output(command, "apt-cache pkgnames")?.lines().map(str::to_owned).collect())
    }

    /// When the archives were last changed: the newest `Date` of their signed indexes.
    ///
    /// # Errors
    /// Fails where there is none.
    pub(super) fn date(&self) -> Result<Timestamp> {
        let mut newest = None;
        for entry in self.dir.join("lists").read_dir_utf8()? {
            let entry = entry?;
            if entry.file_name().ends_with("_InRelease") {
                let text = fs_err::read_to_string(entry.path())?;
                let date = text.lines().find_map(|line| line.strip_prefix("Date: "));
                let date =
                    date.and_then(|date| chrono::DateTime::parse_from_rfc2822(&date.replace("UTC", "+0000")).ok());
                newest = newest.max(date.map(|date| date.to_utc()));
            }
        }
        newest.ok_or_else(|| Error::failed("the archives' indexes do not say when they were made"))
    }

    fn command(&self, tool: Tool) -> Result<Command> {
        let mut command = tool.command()?;
        command.env("APT_CONFIG", self.dir.join("apt.conf"));
        Ok(command)
    }

    fn output(&self, mut command: Command, what: &str) -> Result<String> {
        let running = self.stop.spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
        let output = running.output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(self.explain(what, &String::from_utf8_lossy(&output.stderr)))
    }

    /// What apt said, with the way out of what people run into most.
    fn explain(&self, what: &str, said: &str) -> Error {
        let error = Error::failed(format!("{what} failed")).because(tail(said, 8));
        let any = |needles: &[&str]| needles.iter().any(|needle| said.contains(needle));
        let Sources { archive, security } = &self.sources;
        if any(&["does not have a Release file", "404  Not Found"]) {
            error.hint(format!(
                "{archive} and {security} must both have {}; the definition's `mirror` names others",
                self.suite
            ))
        } else if any(&[
            "Temporary failure resolving",
            "Could not resolve",
            "Could not connect",
            "Connection timed out",
            "Connection failed",
            "Unable to connect",
        ]) {
            error.hint("check this machine's network and its apt sources (`apt-get update`), or name other archives: `mirror` in the definition")
        } else if any(&["NO_PUBKEY", "is not signed", "invalid signature", "EXPKEYSIG"]) {
            error.hint(
                "the archive must be signed by Debian: check its address, and bring debian-archive-keyring up to date",
            )
        } else {
            error
        }
    }
}

/// A file that apt would fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    /// Its URL, without percent signs.
    pub(super) url: String,
    /// `name:arch=version`, as apt takes it.
    pub(super) package: String,
}

impl Url {
    /// A line of `--print-uris`: `'URL' NAME_VERSION_ARCH.deb SIZE HASH`.
    fn parse(line: &str) -> Option<Self> {
        let (url, rest) = line.strip_prefix('\'')?.split_once("' ")?;
        let mut parts = rest.split_whitespace().next()?.strip_suffix(".deb")?.split('_');
        let (name, version, arch) = (parts.next()?, unquote(parts.next()?), parts.next()?);
        let package = if arch == "all" { format!("{name}={version}") } else { format!("{name}:{arch}={version}") };
        Some(Self { url: unquote(url), package })
    }
}

/// Percent-encoding taken back (RFC 3986); what is none stays as it is.
fn unquote(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let byte = (first == b'%').then(|| tail.get(..2)).flatten();
        match byte.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[2..];
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// How this machine reaches archives: proxies and certificates, and nothing else of its settings.
fn reach() -> Result<String> {
    let dump = APT_CONFIG.run(["dump", "Acquire"])?;
    let ours = ["Acquire::IndexTargets", "Acquire::Languages", "Acquire::Changelogs"];
    Ok(dump
        .lines()
        .filter(|line| !ours.iter().any(|prefix| line.starts_with(prefix)))
        .map(|line| format!("{line}\n"))
        .collect())
}

fn configuration(dir: &Utf8Path, arch: &str, reach: &str) -> String {
    // A mirror may ask for a password: where apt keeps it, it stays.
    let own = [
        ("Dir::State::status", "status"),
        ("Dir::State::lists", "lists"),
        ("Dir::Cache::archives", "archives"),
        ("Dir::Cache", ""),
        ("Dir::Etc::sourceparts", "sources"),
        ("Dir::Etc::preferences", "preferences"),
        ("Dir::Etc::preferencesparts", "none"),
        ("Dir::Etc::parts", "none"),
        ("Dir::Etc::trustedparts", "none"),
    ];
    let own: String = own.into_iter().map(|(key, name)| format!("{key} \"{}\";\n", dir.join(name))).collect();
    format!(
        "{reach}{own}Dir::Etc::sourcelist \"/dev/null\";\nDir::Etc::main \"/dev/null\";\nDir::Etc::trusted \"/dev/null\";\n\
         APT::Architecture \"{arch}\";\n#clear APT::Architectures;\nAPT::Architectures {{ \"{arch}\"; }};\n\
         APT::Install-Recommends \"false\";\nAPT::Get::AllowUnauthenticated \"false\";\nAPT::Sandbox::User \"root\";\n\
         Acquire::Languages \"none\";\nAcquire::Retries \"3\";\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apts_lines_are_read() {
        let line = "'http://one.invalid/debian/pool/main/s/shadow/passwd_4.17.4-2%2bb1_amd64.deb' passwd_1%3a4.17.4-2+b1_amd64.deb 1228860 SHA256:00";
        let expected = Url {
            url: "http://one.invalid/debian/pool/main/s/shadow/passwd_4.17.4-2+b1_amd64.deb".into(),
            package: "passwd:amd64=1:4.17.4-2+b1".into(),
        };
        assert_eq!(Url::parse(line), Some(expected));
        assert_eq!(Url::parse("'u' netbase_6.5_all.deb 1 ").unwrap().package, "netbase=6.5");
        for line in ["", "'", "'u' x", "'u' x.deb 1", "u x_1_all.deb 1"] {
            assert_eq!(Url::parse(line), None, "{line}");
        }
    }

    #[test]
    fn percent_signs_are_taken_back() {
        assert_eq!(unquote("a%2bb%3A1%"), "a+b:1%");
        assert_eq!(unquote("%zz%é"), "%zz%é");
    }
}
