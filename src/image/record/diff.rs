//! How two images differ.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Serialize;

use super::file::Kind;
use super::{Artefact, File, Package, Recorded, version};

/// What is different in the second of two images.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Diff {
    /// The packages.
    pub packages: Packages,
    /// The files, by the package that they belong to.
    pub files: BTreeMap<String, Files>,
    /// The files of no package.
    pub unowned: Files,
    /// The artefacts that have another size or content.
    pub sizes: Vec<Size>,
    /// The audits that gave another score.
    pub scores: Vec<Score>,
}

/// Packages that differ, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Packages {
    /// Those that only the second image has.
    pub added: Vec<Package>,
    /// Those that only the first one has.
    pub removed: Vec<Package>,
    /// Those of which the second one has another version.
    pub changed: Vec<Change>,
}

/// A package in two versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The package's name.
    pub name: String,
    /// Its architecture.
    pub architecture: String,
    /// The first image's version.
    pub from: String,
    /// The second image's version.
    pub to: String,
    /// Which of them is newer.
    pub direction: Direction,
}

/// Whether a version is newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// It is.
    Upgrade,
    /// It is older.
    Downgrade,
    /// Neither: the same version is written in two ways.
    Same,
}

/// Files that differ, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Files {
    /// Those that only the second image has.
    pub added: Vec<String>,
    /// Those that only the first one has.
    pub removed: Vec<String>,
    /// Those that both have, and not alike.
    pub changed: Vec<Changed>,
}

/// A file that is not alike in both images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Its path.
    pub path: String,
    /// What of it differs.
    pub what: Vec<Aspect>,
}

/// What of a file can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Aspect {
    /// Whether it is a regular file, a folder, a link.
    Kind,
    /// What it holds, or where it leads.
    Content,
    /// Its permission bits.
    Mode,
    /// Its owner or group.
    Owner,
}

/// An artefact's size in both images, in bytes; `None` where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Size {
    /// The artefact's name.
    pub artefact: String,
    /// In the first image.
    pub from: Option<u64>,
    /// In the second one.
    pub to: Option<u64>,
}

/// An audit's score of both images; `None` where it was not done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    /// The auditor.
    pub auditor: String,
    /// Of the first image.
    pub from: Option<f64>,
    /// Of the second one.
    pub to: Option<f64>,
}

impl Diff {
    /// Whether the images are alike in all that is compared.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How the image `to` differs from the image `from`. Names and keys are not compared.
pub fn diff(from: &Recorded, to: &Recorded) -> Diff {
    let mut diff = Diff { packages: packages(&from.packages, &to.packages), ..Diff::default() };
    for (path, both) in paths(&from.files, &to.files) {
        let (Some(file), what) = (both.1.or(both.0), differences(both)) else { continue };
        if what.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        let files = match &file.package {
            Some(package) => diff.files.entry(package.clone()).or_default(),
            None => &mut diff.unowned,
        };
        match (what, both) {
            (Some(what), _) => files.changed.push(Changed { path: path.to_owned(), what }),
            (None, (None, _)) => files.added.push(path.to_owned()),
            (None, _) => files.removed.push(path.to_owned()),
        }
    }
    for (artefact, (from, to)) in joined(&from.artefacts, &to.artefacts) {
        if from != to {
            let size = |artefact: Option<&Artefact>| artefact.map(|artefact| artefact.size);
            diff.sizes.push(Size { artefact: artefact.clone(), from: size(from), to: size(to) });
        }
    }
    for (auditor, (from, to)) in joined(&from.scores, &to.scores) {
        if from != to {
            diff.scores.push(Score { auditor: auditor.clone(), from: from.copied(), to: to.copied() });
        }
    }
    diff
}

/// The first `most` files, by path, in which two images differ, each as a sentence for people.
pub fn first_differing(first: &[File], second: &[File], most: usize) -> Vec<String> {
    let sentences = paths(first, second).into_iter().filter_map(|(path, both)| match (differences(both), both) {
        (Some(what), _) if what.is_empty() => None,
        (Some(what), _) => Some(format!("{path}: {}", sentence(&what))),
        (None, (Some(_), _)) => Some(format!("{path}: only in the first")),
        (None, _) => Some(format!("{path}: only in the second")),
    });
    sentences.take(most).collect()
}

fn sentence(what: &[Aspect]) -> String {
    let words: Vec<_> = what
        .iter()
        .map(|aspect| match aspect {
            Aspect::Kind => "kind",
            Aspect::Content => "content",
            Aspect::Mode => "mode",
            Aspect::Owner => "owner",
        })
        .collect();
    let verb = if words.len() == 1 { "differs" } else { "differ" };
    match words.split_last() {
        Some((last, [])) => format!("{last} {verb}"),
        Some((last, rest)) => format!("{} and {last} {verb}", rest.join(", ")),
        None => "nothing differs".to_owned(),
    }
}

fn packages<'a>(from: &'a [Package], to: &'a [Package]) -> Packages {
    let by_name = |package: &'a Package| ((package.name.as_str(), package.architecture.as_str()), package);
    let mut packages = Packages::default();
    for ((name, architecture), both) in joined(from.iter().map(by_name), to.iter().map(by_name)) {
        match both {
            (None, Some(new)) => packages.added.push(new.clone()),
            (Some(old), None) => packages.removed.push(old.clone()),
            (Some(old), Some(new)) if old.version != new.version => packages.changed.push(Change {
                name: name.to_owned(),
                architecture: architecture.to_owned(),
                from: old.version.clone(),
                to: new.version.clone(),
                direction: match version::compare(&old.version, &new.version) {
                    Ordering::Less => Direction::Upgrade,
                    Ordering::Greater => Direction::Downgrade,
                    Ordering::Equal => Direction::Same,
                },
            }),
            _ => {}
        }
    }
    packages
}

/// What of a file differs; `None` where not both images have it.
fn differences(both: Both<'_, File>) -> Option<Vec<Aspect>> {
    let (Some(a), Some(b)) = both else { return None };
    // How large a folder is, is its file system's affair; content that was not hashed is judged by its size.
    let content = |file: &File| (file.sha256.clone(), file.target.clone());
    let unhashed = |file: &File| (file.kind == Kind::File && file.sha256.is_none()).then_some(file.size);
    let aspects = [
        (Aspect::Kind, a.kind != b.kind),
        (Aspect::Content, a.kind == b.kind && (content(a) != content(b) || unhashed(a) != unhashed(b))),
        (Aspect::Mode, a.mode != b.mode),
        (Aspect::Owner, (a.uid, a.gid) != (b.uid, b.gid)),
    ];
    Some(aspects.into_iter().filter_map(|(aspect, differs)| differs.then_some(aspect)).collect())
}

/// A thing in the first and in the second image.
type Both<'a, T> = (Option<&'a T>, Option<&'a T>);

fn paths<'a>(first: &'a [File], second: &'a [File]) -> BTreeMap<&'a str, Both<'a, File>> {
    let by_path = |file: &'a File| (file.path.as_str(), file);
    joined(first.iter().map(by_path), second.iter().map(by_path))
}

fn joined<'a, K: Ord, V>(
    first: impl IntoIterator<Item = (K, &'a V)>,
    second: impl IntoIterator<Item = (K, &'a V)>,
) -> BTreeMap<K, Both<'a, V>> {
    let mut joined: BTreeMap<K, Both<'a, V>> = BTreeMap::new();
    first.into_iter().for_each(|(key, value)| joined.entry(key).or_insert((None, None)).0 = Some(value));
    second.into_iter().for_each(|(key, value)| joined.entry(key).or_insert((None, None)).1 = Some(value));
    joined
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn package(name: &str, version: &str) -> Package {
        Package { name: name.into(), version: version.into(), architecture: "amd64".into(), ..Package::default() }
    }

    fn file(path: &str, package: Option<&str>, content: &str) -> File {
        File { path: path.into(), package: package.map(str::to_owned), sha256: Some(content.into()), ..File::default() }
    }

    fn before() -> Recorded {
        Recorded {
            packages: vec![package("curl", "8.14.1-2"), package("tar", "1.35-3"), package("vim", "2:9.1-1")],
            files: vec![
                file("etc/motd", None, "a"),
                file("usr/bin/tar", Some("tar"), "a"),
                file("usr/bin/vim", Some("vim"), "a"),
                File { kind: Kind::Dir, size: 4096, ..File { path: "var/lib".into(), ..File::default() } },
            ],
            artefacts: BTreeMap::from([("disk.qcow2".into(), Artefact { sha256: "a".into(), size: 100 })]),
            scores: BTreeMap::from([("lynis".into(), 80.0), ("cis".into(), 90.0)]),
            ..Recorded::default()
        }
    }

    fn after() -> Recorded {
        let tar = File { mode: 0o4755, uid: 1, ..file("usr/bin/tar", Some("tar"), "b") };
        Recorded {
            packages: vec![package("curl", "8.14.1-2~deb13u1"), package("nano", "8.4-1"), package("tar", "1.35-3+b1")],
            files: vec![
                tar,
                file("usr/bin/nano", Some("nano"), "a"),
                File {
                    kind: Kind::Symlink,
                    target: Some("x".into()),
                    ..File { path: "etc/motd".into(), ..File::default() }
                },
                File { kind: Kind::Dir, size: 60, ..File { path: "var/lib".into(), ..File::default() } },
            ],
            artefacts: BTreeMap::from([("disk.qcow2".into(), Artefact { sha256: "b".into(), size: 90 })]),
            scores: BTreeMap::from([("lynis".into(), 84.5), ("cis".into(), 90.0), ("oscap".into(), 70.0)]),
            ..Recorded::default()
        }
    }

    #[test]
    fn two_images() {
        insta::assert_json_snapshot!(diff(&before(), &after()));
    }

    #[test]
    fn an_image_is_like_itself() {
        assert!(diff(&before(), &Recorded { key: "other".into(), ..before() }).is_empty());
        assert_eq!(first_differing(&before().files, &before().files, 9), [""; 0]);
    }

    #[test]
    fn the_first_files_that_differ() {
        let sentences = first_differing(&before().files, &after().files, 3);
        let expected = [
            "etc/motd: kind differs",
            "usr/bin/nano: only in the second",
            "usr/bin/tar: content, mode and owner differ",
        ];
        assert_eq!(sentences, expected);
        assert_eq!(first_differing(&before().files, &after().files, 9)[3], "usr/bin/vim: only in the first");
    }

    #[test]
    fn files_without_a_hash_are_judged_by_size() {
        let [small, large] = [1, 2].map(|size| File { path: "x".into(), size, ..File::default() });
        assert_eq!(first_differing(&[small], &[large], 1), ["x: content differs"]);
    }

    proptest! {
        #[test]
        fn the_way_back_is_the_way_there_turned_round(
            a in prop::collection::btree_map("[a-c]", "[0-9]", 0..3), b in prop::collection::btree_map("[a-c]", "[0-9]", 0..3),
        ) {
            let of = |names: &BTreeMap<String, String>| Recorded {
                packages: names.iter().map(|(name, version)| package(name, version)).collect(),
                files: names.iter().map(|(name, content)| file(name, None, content)).collect(),
                ..Recorded::default()
            };
            let (there, back) = (diff(&of(&a), &of(&b)), diff(&of(&b), &of(&a)));
            prop_assert_eq!(there.is_empty(), a == b);
            prop_assert_eq!((&there.packages.added, &there.unowned.added), (&back.packages.removed, &back.unowned.removed));
            prop_assert_eq!(there.unowned.changed, back.unowned.changed);
        }
    }
}
