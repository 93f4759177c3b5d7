//! What a new lock changes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Archive, Lock, Locked};

/// The difference between two locks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Packages that were not there.
    pub added: Vec<Version>,
    /// Packages that are not there any more.
    pub removed: Vec<Version>,
    /// Packages with another version.
    pub changed: Vec<Change>,
}

/// A package and its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A package with another version than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// The version before.
    pub from: String,
    /// The version now.
    pub to: String,
    /// Whether the new one comes from the security archive.
    pub security: bool,
    /// The vulnerabilities that its changelog says were mended since; none where it has no changelog that tells.
    pub mends: Option<Vec<String>>,
}

impl Changes {
    /// What `new` changes.
    pub fn between(old: Option<&Lock>, new: &Lock) -> Self {
        let by_name = |lock: &'_ Lock| -> BTreeMap<(String, String), Locked> {
            lock.packages
                .iter()
                .map(|package| ((package.name.clone(), package.arch.clone()), package.clone()))
                .collect()
        };
        let (old, new) = (old.map(by_name).unwrap_or_default(), by_name(new));
        let version = |package: &Locked| Version { name: package.name.clone(), version: package.version.clone() };
        Self {
            added: new.iter().filter(|(key, _)| !old.contains_key(*key)).map(|(_, package)| version(package)).collect(),
            removed: old
                .iter()
                .filter(|(key, _)| !new.contains_key(*key))
                .map(|(_, package)| version(package))
                .collect(),
            changed: new
                .iter()
                .filter_map(|(key, package)| Some((old.get(key)?, package)))
                .filter(|(before, after)| before.sha256 != after.sha256)
                .map(|(before, after)| Change {
                    name: after.name.clone(),
                    from: before.version.clone(),
                    to: after.version.clone(),
                    security: after.archive == Archive::Security,
                    mends: None,
                })
                .collect(),
        }
    }

    /// Whether both are the same.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// One line for people.
    pub fn summary(&self) -> String {
        if self.is_empty() {
            return "as before".into();
        }
        let security = self.changed.iter().filter(|change| change.security).count();
        format!(
            "{} added, {} removed, {} changed ({security} from the security archive)",
            self.added.len(),
            self.removed.len(),
            self.changed.len()
        )
    }

    /// A line for each package that changed or went, and for those that came where others were there before.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for Change { name, from, to, security, mends } in &self.changed {
            let from_security = if *security { "  (security)" } else { "" };
            let mends = match mends {
                Some(mends) if !mends.is_empty() => format!("  mends {}", mends.join(", ")),
                _ => String::new(),
            };
            lines.push(format!("~ {name} {from} -> {to}{from_security}{mends}"));
        }
        lines.extend(self.removed.iter().map(|Version { name, version }| format!("- {name} {version}")));
        // A first lock adds everything: that is no news.
        if !(self.changed.is_empty() && self.removed.is_empty()) || self.added.len() < 20 {
            lines.extend(self.added.iter().map(|Version { name, version }| format!("+ {name} {version}")));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_told() {
        let old = Lock::sample();
        assert!(Changes::between(Some(&old), &old).is_empty());
        let mut new = old.clone();
        new.packages[0] = Locked {
            version: "6.6".into(),
            sha256: "1".repeat(64),
            archive: Archive::Security,
            ..new.packages[0].clone()
        };
        new.packages.push(Locked { name: "zstd".into(), version: "1".into(), ..new.packages[0].clone() });
        let changes = Changes::between(Some(&old), &new);
        assert_eq!(changes.lines(), ["~ netbase 6.5 -> 6.6  (security)", "+ zstd 1"]);
        assert_eq!(changes.summary(), "1 added, 0 removed, 1 changed (1 from the security archive)");
        assert_eq!(Changes::between(None, &old).added.len(), 1);
        assert_eq!(Changes::between(Some(&new), &old).removed.len(), 1);
    }
}
