//! From package names to a lock.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;

use super::apt::Apt;
use super::{Archive, FORM, Lock, Locked};
use crate::image::definition::Definition;
use crate::image::sources::Sources;
use crate::image::stop::Stop;
use crate::{Error, Result};

/// What every Debian has, whatever is asked for.
const BASE: [&str; 3] = ["?essential", "?priority(required)", "apt"];

/// Resolves a definition's packages, from all pockets of its archives.
///
/// With `keep`, packages stay at the versions that are in it as long as the archives have these; without it, all are the
/// newest. `cache_dir` is where the archives' lists are kept.
///
/// # Errors
/// Fails where an archive does not answer, a package is not known, or packages cannot be installed together.
pub fn resolve(
    cache_dir: &Utf8Path,
    definition: &Definition,
    keep: Option<&Lock>,
    stop: &Stop,
    progress: &dyn Fn(&str),
) -> Result<Lock> {
    let sources = Sources::of(definition)?;
    let (suite, arch) = (definition.suite.name(), definition.arch.as_str());
    let apt = Apt::open(cache_dir, &sources, suite, arch, stop)?;
    progress("fetching the archives' lists");
    apt.update()?;
    let requested = definition.requested();
    check_names(&apt, definition, &requested)?;
    if let Some(keep) = keep {
        apt.prefer(keep.packages.iter().map(|package| (package.name.as_str(), package.version.as_str())))?;
    }
    progress("resolving packages");
    let wanted: Vec<String> = if definition.bare {
        requested.clone()
    } else {
        BASE.map(str::to_owned).into_iter().chain(requested.clone()).collect()
    };
    let urls = apt.resolve(&wanted)?;
    let stanzas = apt.show(&urls.iter().map(|url| url.package.clone()).collect::<Vec<_>>())?;
    let known = stanzas.split("\n\n").filter_map(Stanza::parse);
    let known: BTreeMap<&str, Stanza<'_>> = known.map(|stanza| (stanza.path, stanza)).collect();
    let mut packages = urls
        .iter()
        .map(|url| {
            let (archive, path) = sources.place(&url.url)?;
            let stanza = known.get(path)?;
            Some(stanza.locked(archive))
        })
        .zip(&urls)
        .map(|(locked, url)| {
            locked.ok_or_else(|| Error::failed(format!("the archives' lists do not describe {}", url.package)))
        })
        .collect::<Result<Vec<_>>>()?;
    packages.sort_by(|a, b| (&a.name, &a.arch).cmp(&(&b.name, &b.arch)));
    Ok(Lock { form: FORM, suite: suite.into(), arch: arch.into(), date: apt.date()?, requested, packages })
}

/// All unknown names at once, with their lines, where apt stops at the first.
fn check_names(apt: &Apt, definition: &Definition, requested: &[String]) -> Result<()> {
    let known: BTreeSet<String> = apt.names()?.into_iter().collect();
    let unknown: Vec<&String> = requested.iter().filter(|name| !known.contains(*name)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let (suite, arch) = (definition.suite.name(), &definition.arch);
    let lines: Vec<String> = unknown
        .iter()
        .map(|name| {
            let place = definition.places.get(*name).map_or_else(String::new, |place| format!("{place}: "));
            format!("{place}{suite} has no package {name:?} for {arch}")
        })
        .collect();
    let hint = unknown.iter().find_map(|name| crate::fleet::read::nearest_hint(name, &known));
    Err(Error::input(lines.join("\n"))
        .hint(hint.unwrap_or_else(|| "a package must be in the archives' section `main`".into())))
}

/// What a lock takes from an archive's description of a package.
struct Stanza<'a> {
    name: &'a str,
    version: &'a str,
    arch: &'a str,
    sha256: &'a str,
    size: u64,
    path: &'a str,
}

impl<'a> Stanza<'a> {
    fn parse(stanza: &'a str) -> Option<Self> {
        let field =
            |name: &str| stanza.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()));
        Some(Self {
            name: field("Package")?,
            version: field("Version")?,
            arch: field("Architecture")?,
            sha256: field("SHA256")?,
            size: field("Size")?.parse().ok()?,
            path: field("Filename")?,
        })
    }

    fn locked(&self, archive: Archive) -> Locked {
        Locked {
            name: self.name.into(),
            version: self.version.into(),
            arch: self.arch.into(),
            sha256: self.sha256.into(),
            size: self.size,
            archive,
            path: self.path.into(),
        }
    }
}
