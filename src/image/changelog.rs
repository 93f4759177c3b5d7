//! What a package's own changelog says of vulnerabilities that were mended (Debian Policy 4.4 and 12.7).

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use camino::Utf8Path;
use flate2::read::MultiGzDecoder;
use regex_lite::Regex;

use super::debs::{DPKG_DEB, Debs};
use super::lock::changes::{Change, Changes};
use super::lock::{Lock, Locked};
use super::record::version;
use super::sources::Sources;
use super::stop::Stop;
use crate::error::Context;
use crate::{Error, Result};

/// Notes what the changed packages' changelogs say was mended since; fetches those packages that are not in the store, which a
/// build will want as well.
///
/// # Errors
/// Fails where one cannot be fetched or read, and where `stop` ended it.
pub fn read(
    changes: &mut Changes,
    new: &Lock,
    debs: &Debs,
    sources: impl FnOnce() -> Result<Sources>,
    stop: &Stop,
    progress: &dyn Fn(&str),
) -> Result<()> {
    let of = |change: &Change, package: &Locked| package.name == change.name && package.version == change.to;
    let mut changed = new.clone();
    changed.packages.retain(|package| changes.changed.iter().any(|change| of(change, package)));
    if changed.packages.is_empty() {
        return Ok(());
    }
    debs.bring(&changed, sources, stop, progress)?;
    progress("reading changelogs");
    for change in &mut changes.changed {
        stop.check()?;
        if let Some(package) = changed.packages.iter().find(|package| of(change, package)) {
            change.mends = mends(&debs.path(package), (&change.from, &change.to))?;
        }
    }
    Ok(())
}

/// The vulnerabilities that the changelog in the package file `deb` names in its entries after version `from` up to `to`, in order;
/// `None` where the package has no changelog of its own that begins with `to`. (Some have their source's, with other versions.)
fn mends(deb: &Utf8Path, versions: (&str, &str)) -> Result<Option<Vec<String>>> {
    let mut command = DPKG_DEB.command()?;
    let mut child = command.args(["--fsys-tarfile", deb.as_str()]).stdout(Stdio::piped()).spawn()?;
    let files = child.stdout.take().ok_or_else(|| Error::failed("dpkg-deb has no output"))?;
    let found = in_files(files, versions).with_context(|| format!("reading the changelog in {deb}"))?;
    // It may have more to say than was read.
    let more = found.is_some() && child.kill().is_ok();
    let status = child.wait()?;
    if !more && !status.success() {
        return Err(DPKG_DEB.failure(status, "").context(format!("reading the changelog in {deb}")));
    }
    Ok(found)
}

fn in_files(files: impl Read, versions: (&str, &str)) -> Result<Option<Vec<String>>> {
    for file in tar::Archive::new(files).entries()? {
        let file = file?;
        let path = file.path_bytes();
        let path = String::from_utf8_lossy(&path);
        let Some((_, name)) = path.split_once("usr/share/doc/").and_then(|(_, path)| path.split_once('/')) else {
            continue;
        };
        // A native package has but one; of others, `changelog.gz` is upstream's, in another form.
        if (name == "changelog.Debian.gz" || name == "changelog.gz") && file.header().entry_type().is_file() {
            let ids = entries(BufReader::new(MultiGzDecoder::new(file)), versions)?;
            if ids.is_some() {
                return Ok(ids);
            }
        }
    }
    Ok(None)
}

/// The ids in the entries after `from`; `None` where the text is no Debian changelog whose first entry is `to`'s.
fn entries(text: impl BufRead, (from, to): (&str, &str)) -> std::io::Result<Option<Vec<String>>> {
    let (Ok(head), Ok(id)) =
        (Regex::new(r"^[a-z0-9][a-z0-9+.-]* \(([^) ]+)\) [^;]+;"), Regex::new(r"CVE-\d{4}-\d{4,}"))
    else {
        return Ok(None);
    };
    // A rebuild for one architecture has its entry elsewhere (Debian Policy 5.6.12: `+b1`).
    let to = match to.rsplit_once("+b") {
        Some((source, build)) if build.bytes().all(|byte| byte.is_ascii_digit()) => source,
        _ => to,
    };
    let (mut found, mut begun) = (BTreeSet::new(), false);
    for line in text.split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        if let Some(entry) = head.captures(&line) {
            if !begun && version::compare(&entry[1], to) != Ordering::Equal {
                return Ok(None);
            }
            begun = true;
            if version::compare(&entry[1], from) != Ordering::Greater {
                break;
            }
        } else if begun {
            found.extend(id.find_iter(&line).map(|id| id.as_str().to_owned()));
        }
    }
    Ok(begun.then(|| found.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
openssl (3.5.4-1~deb13u2) trixie-security; urgency=medium

  * CVE-2025-15467 (Stack overflow), CVE-2025-11187
  * CVE-2025-11187 again

 -- A Maintainer <a@example.org>  Sat, 24 Jan 2026 14:03:35 +0100

openssl (3.5.4-1~deb13u1) trixie; urgency=medium

  * Fix CVE-2025-9230

 -- A Maintainer <a@example.org>  Wed, 01 Oct 2025 00:00:00 +0200
";

    #[test]
    fn only_entries_after_the_version_count() {
        let to = "3.5.4-1~deb13u2";
        let since = |from: &str| entries(TEXT.as_bytes(), (from, to)).unwrap().unwrap();
        assert_eq!(since("3.5.4-1~deb13u1"), ["CVE-2025-11187", "CVE-2025-15467"]);
        assert_eq!(since("3.5.0-1").len(), 3);
        assert!(since("3.5.4-1~deb13u2").is_empty());
        assert!(entries(TEXT.as_bytes(), ("3.5.4-1~deb13u1", "3.5.4-1~deb13u2+b1")).unwrap().is_some(), "rebuilt");
        assert_eq!(
            entries(TEXT.as_bytes(), ("1:3.5.0-1", "1:3.5.4-1~deb13u2")).unwrap(),
            None,
            "its source's versions"
        );
        assert_eq!(entries("Version 2.0\n* CVE-2020-1234\n".as_bytes(), ("1", "2")).unwrap(), None, "upstream's own");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "(?s).{0,200}", from in ".{0,12}") {
            // With and without a Debian entry on top.
            let _ = entries(text.as_bytes(), (&from, &from)).unwrap();
            let below = format!("a (2) x; urgency=low\n{text}");
            let found = entries(below.as_bytes(), ("1", "2")).unwrap().unwrap();
            proptest::prop_assert!(found.iter().all(|id| text.contains(id.as_str())));
        }
    }

    #[test]
    fn the_changelog_is_found_in_a_package() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(temp.path()).unwrap();
        let (root, deb) = (dir.join("root"), dir.join("a.deb"));
        let doc = root.join("usr/share/doc/openssl");
        fs_err::create_dir_all(&doc).unwrap();
        fs_err::create_dir_all(root.join("DEBIAN")).unwrap();
        let control = "Package: openssl\nVersion: 3.5.4-1~deb13u2\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: a\n";
        fs_err::write(root.join("DEBIAN/control"), control).unwrap();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut gz, TEXT.as_bytes()).unwrap();
        fs_err::write(doc.join("changelog.Debian.gz"), gz.finish().unwrap()).unwrap();
        DPKG_DEB.run(["--build", "--root-owner-group", root.as_str(), deb.as_str()]).unwrap();
        let versions = ("3.5.4-1~deb13u1", "3.5.4-1~deb13u2");
        let found = mends(&deb, versions).unwrap().unwrap();
        assert_eq!(found, ["CVE-2025-11187", "CVE-2025-15467"]);
        fs_err::write(&deb, "no package").unwrap();
        assert!(mends(&deb, versions).is_err());
    }
}
