//! Names and modes in an archive: what they may be.

use crate::{Error, Result};

/// The parts of a name, without `strip` leading ones; none where no more is left.
///
/// # Errors
/// Fails where the name leads out of the folder, or is not text.
pub(super) fn parts(name: &[u8], strip: usize) -> Result<Vec<String>> {
    let text = text(name)?;
    let parts = text.split('/').filter(|part| !part.is_empty() && *part != ".");
    if text.starts_with('/') || parts.clone().any(|part| part == "..") {
        return Err(astray(&format!("its {text:?}")));
    }
    Ok(parts.skip(strip).map(str::to_owned).collect())
}

/// Checks where a symbolic link points that lies `depth` folders below the top one.
///
/// # Errors
/// Fails where that is outside. `..` is taken at the beginning only, where it means the folder that the link lies in:
/// further on it could be that of another link.
pub(super) fn target<'a>(name: &[u8], target: &'a [u8], depth: usize) -> Result<&'a str> {
    let target = text(target)?;
    let mut parts = target.split('/').filter(|part| !part.is_empty() && *part != ".").peekable();
    let mut up = 0;
    while parts.next_if_eq(&"..").is_some() {
        up += 1;
    }
    if target.is_empty() || target.starts_with('/') || up > depth || parts.any(|part| part == "..") {
        return Err(astray(&format!("its link {:?} to {target:?}", String::from_utf8_lossy(name))));
    }
    Ok(target)
}

fn text(name: &[u8]) -> Result<&str> {
    std::str::from_utf8(name)
        .map_err(|_| Error::failed(format!("its name {:?} is not UTF-8", String::from_utf8_lossy(name))))
}

fn astray(what: &str) -> Error {
    Error::failed(format!("{what} leads out of the folder"))
        .hint("nothing was unpacked; an archive that is to be trusted does not do that")
}

/// The mode of a file: no set-id bits, nobody else writes, and it is run by all or by nobody (as Python's tarfile does it
/// with `filter='data'`, PEP 706).
pub(super) fn file_mode(mode: u32) -> u32 {
    let runs = if mode & 0o100 == 0 { 0o111 } else { 0 };
    (mode & 0o755 & !runs) | 0o600
}

/// The mode of a folder.
pub(super) fn folder_mode(mode: u32) -> u32 {
    (mode & 0o755) | 0o700
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_stay_inside() {
        let parts = |name: &str, strip| parts(name.as_bytes(), strip).map(|parts| parts.join("/"));
        assert_eq!(parts("./a//b/./c/", 0).unwrap(), "a/b/c");
        assert_eq!(parts("a/b/c", 2).unwrap(), "c");
        assert_eq!(parts("a/b", 2).unwrap(), "");
        assert_eq!(parts("..a/...", 0).unwrap(), "..a/...");
        for bad in ["/etc/passwd", "../x", "a/../../x", "a/.."] {
            assert!(parts(bad, 1).is_err(), "{bad}");
        }
        assert!(super::parts(b"\xff", 0).is_err());
    }

    #[test]
    fn links_point_inside() {
        for (target, depth, good) in [
            ("b", 0, true),
            ("../b", 1, true),
            (".././../b", 2, true),
            ("..", 0, false),
            ("../../b", 1, false),
            ("/b", 3, false),
            ("", 1, false),
            // `a` may be a link to somewhere higher.
            ("a/../b", 1, false),
        ] {
            assert_eq!(super::target(b"l", target.as_bytes(), depth).is_ok(), good, "{target}");
        }
    }

    #[test]
    fn modes_lose_what_is_dangerous() {
        assert_eq!((file_mode(0o6777), file_mode(0o666), file_mode(0o055)), (0o755, 0o644, 0o644));
        assert_eq!((folder_mode(0o1777), folder_mode(0)), (0o755, 0o700));
    }

    proptest! {
        #[test]
        fn no_name_leads_out(name in "[a./]{0,12}", strip in 0_usize..3) {
            if let Ok(parts) = parts(name.as_bytes(), strip) {
                prop_assert!(parts.iter().all(|part| !part.is_empty() && part != "." && part != ".."));
            }
        }
    }
}
