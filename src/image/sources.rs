//! Where packages come from: the image's definition, or else the host's own apt sources.
//!
//! Both of apt's formats are read: deb822 (`*.sources`) and one line per source (`*.list`); see sources.list(5).

use camino::{Utf8Path, Utf8PathBuf};

use super::definition::Definition;
use super::lock::Archive;
use crate::{Error, Result};

/// The archives that an image's packages are taken from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Sources {
    /// Debian's archive, without the suite.
    pub archive: String,
    /// The security archive, without the suite.
    pub security: String,
}

/// The keyring that Debian's archives are signed with.
pub const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

impl Sources {
    /// The definition's archives, else this host's.
    ///
    /// # Errors
    /// As [`Sources::of_host`].
    pub fn of(definition: &Definition) -> Result<Self> {
        match &definition.mirror {
            Some(mirror) => Ok(Self {
                archive: mirror.archive.trim_end_matches('/').to_owned(),
                security: mirror.security.trim_end_matches('/').to_owned(),
            }),
            None => Self::of_host(),
        }
    }

    /// The archives as another machine can use them: reached over the network, without a password in the address.
    pub fn for_others(self) -> Option<(String, String)> {
        let reachable = |uri: &str| {
            let host = uri.strip_prefix("http://").or_else(|| uri.strip_prefix("https://"));
            host.is_some_and(|host| {
                !host.contains('@') && !["localhost", "127.", "[::1]"].iter().any(|own| host.starts_with(own))
            })
        };
        (reachable(&self.archive) && reachable(&self.security)).then_some((self.archive, self.security))
    }

    /// Which archive a URL lies in, and where there.
    pub(super) fn place<'a>(&self, url: &'a str) -> Option<(Archive, &'a str)> {
        let within = |base: &str| url.strip_prefix(base)?.strip_prefix('/');
        // One may lie in the other: the longer one says more.
        let mut archives = [(Archive::Debian, &self.archive), (Archive::Security, &self.security)];
        archives.sort_by_key(|(_, base)| std::cmp::Reverse(base.len()));
        archives.into_iter().find_map(|(archive, base)| Some((archive, within(base)?)))
    }

    /// The URL of a path in an archive.
    pub(super) fn url(&self, archive: Archive, path: &str) -> String {
        let base = match archive {
            Archive::Debian => &self.archive,
            Archive::Security => &self.security,
        };
        // What a URL cannot hold as it is, of what a path in an archive may have.
        format!("{base}/{}", path.replace('%', "%25").replace('+', "%2b").replace('~', "%7e"))
    }

    /// The archives that this host uses.
    ///
    /// # Errors
    /// Fails where the host has no Debian sources (it is another distribution's).
    pub fn of_host() -> Result<Self> {
        let mut texts = Vec::new();
        for path in
            [Utf8PathBuf::from("/etc/apt/sources.list")].into_iter().chain(files("/etc/apt/sources.list.d".into()))
        {
            if let Ok(text) = fs_err::read_to_string(&path) {
                texts.push((path, text));
            }
        }
        let entries: Vec<Entry> = texts
            .iter()
            .flat_map(|(path, text)| if path.extension() == Some("sources") { deb822(text) } else { one_line(text) })
            .collect();
        Self::choose(&entries).ok_or_else(|| {
            Error::failed("this machine's apt sources name no Debian archive")
                .hint("give the image's definition one: `mirror: {archive: URL, security: URL}` in image.yaml")
        })
    }

    fn choose(entries: &[Entry]) -> Option<Self> {
        let is_security = |entry: &&Entry| entry.suite.ends_with("-security") || entry.suite.contains("/updates");
        let is_debian = |suite: &str| {
            ["trixie", "bookworm", "bullseye", "forky", "sid", "stable", "testing", "unstable"].contains(&suite)
        };
        let archive = entries.iter().find(|entry| is_debian(&entry.suite))?.uri.clone();
        // Debian's usual layout, where the host takes no security updates.
        let security =
            entries.iter().find(is_security).map_or_else(|| format!("{archive}-security"), |entry| entry.uri.clone());
        Some(Self { archive, security })
    }

    /// The sources for one suite, in deb822, as mmdebstrap reads them on standard input. An image's own apt uses the same.
    pub fn deb822(&self, suite: &str) -> String {
        let part = |uri: &str, suites: &str| {
            format!("Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\nSigned-By: {KEYRING}\n")
        };
        format!(
            "{}\n{}",
            part(&self.archive, &format!("{suite} {suite}-updates")),
            part(&self.security, &format!("{suite}-security"))
        )
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    uri: String,
    suite: String,
}

fn files(dir: Utf8PathBuf) -> Vec<Utf8PathBuf> {
    let mut files: Vec<_> = Utf8Path::read_dir_utf8(&dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.into_path()))
        .filter(|path| matches!(path.extension(), Some("sources" | "list")))
        .collect();
    files.sort();
    files
}

fn deb822(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for stanza in text.split("\n\n") {
        let field = |name: &str| {
            stanza.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        if field("Enabled").is_some_and(|value| value.eq_ignore_ascii_case("no")) {
            continue;
        }
        if !field("Types").is_some_and(|types| types.split_whitespace().any(|kind| kind == "deb")) {
            continue;
        }
        let (Some(uris), Some(suites)) = (field("URIs"), field("Suites")) else { continue };
        for uri in uris.split_whitespace() {
            for suite in suites.split_whitespace() {
                entries.push(Entry { uri: uri.trim_end_matches('/').to_owned(), suite: suite.to_owned() });
            }
        }
    }
    entries
}

fn one_line(text: &str) -> Vec<Entry> {
    text.lines()
        .filter_map(|line| {
            let rest = line.trim().strip_prefix("deb ")?.trim_start();
            let rest = if rest.starts_with('[') { rest.split_once(']')?.1 } else { rest };
            let mut words = rest.split_whitespace();
            let (uri, suite) = (words.next()?, words.next()?);
            Some(Entry { uri: uri.trim_end_matches('/').to_owned(), suite: suite.to_owned() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_are_read() {
        let new = "# comment\nTypes: deb\n# more\nURIs: http://one.invalid/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\n\
                   Types: deb deb-src\nURIs: http://one.invalid/debian-security/\nSuites: bookworm-security\n\n\
                   Enabled: no\nTypes: deb\nURIs: http://off.invalid\nSuites: sid\n";
        let expected = Sources {
            archive: "http://one.invalid/debian".into(),
            security: "http://one.invalid/debian-security".into(),
        };
        assert_eq!(Sources::choose(&deb822(new)), Some(expected));
        let old = "deb [signed-by=/k arch=amd64] http://two.invalid/debian/ trixie main\n# deb http://no.invalid x main\ndeb-src http://s.invalid trixie main\n";
        let chosen = Sources::choose(&one_line(old)).unwrap();
        assert_eq!(chosen.security, "http://two.invalid/debian-security");
        assert!(chosen.deb822("trixie").contains("Suites: trixie trixie-updates"));
    }

    #[test]
    fn a_file_is_placed_in_the_archive_that_has_it() {
        let sources = Sources {
            archive: "http://one.invalid/debian".into(),
            security: "http://one.invalid/debian-security".into(),
        };
        let (archive, path) = sources.place("http://one.invalid/debian-security/pool/a+b_1~2.deb").unwrap();
        assert_eq!((archive, path), (Archive::Security, "pool/a+b_1~2.deb"));
        assert_eq!(sources.url(archive, path), "http://one.invalid/debian-security/pool/a%2bb_1%7e2.deb");
        assert_eq!(sources.place("http://one.invalid/debian/x").unwrap(), (Archive::Debian, "x"));
        assert_eq!(sources.place("http://two.invalid/debian/x"), None);
        assert!(sources.for_others().is_some());
        for archive in [
            "file:///srv/debian",
            "mirror+file:/etc/x",
            "http://me:pw@one.invalid/debian",
            "http://localhost:3142/debian",
        ] {
            let own = Sources { archive: archive.into(), security: "http://one.invalid/s".into() };
            assert_eq!(own.for_others(), None, "{archive}");
        }
    }

    #[test]
    fn other_archives_are_no_debian_archive() {
        assert_eq!(Sources::choose(&deb822("Types: deb\nURIs: http://node.invalid\nSuites: nodistro\n")), None);
    }
}
