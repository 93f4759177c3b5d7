//! age identities (X25519) in files as `age-keygen` writes them.

use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use camino::Utf8Path;
use zeroize::Zeroizing;

use crate::{Error, Result, atomic_file};

/// Reads the identities of a file, at least one; `None` where there is no such file.
///
/// # Errors
/// Fails where the file cannot be read, or holds anything else than X25519 identities and comments.
pub fn read(path: &Utf8Path) -> Result<Option<Vec<Identity>>> {
    let Some(bytes) = atomic_file::read(path)?.map(Zeroizing::new) else { return Ok(None) };
    let broken = |reason: String| {
        Error::input(format!("{path} is not an age identity file: {reason}"))
            .hint("put the file back from its backup; `age-keygen -o FILE` makes a new one, which opens nothing old")
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| broken("it is not text".into()))?;
    let identities = text
        .lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        // The line itself may be a mangled secret key, so it is not shown.
        .map(|(number, line)| line.parse().map_err(|reason: &str| broken(format!("line {number}: {reason}"))))
        .collect::<Result<Vec<Identity>>>()?;
    if identities.is_empty() {
        return Err(broken("it holds no identity".into()));
    }
    Ok(Some(identities))
}

/// Reads the identities of a file, or makes the file (0600) with a new one. Of several processes at once all get the same.
///
/// # Errors
/// As [`read`], and where the file cannot be written.
pub fn read_or_create(path: &Utf8Path) -> Result<Vec<Identity>> {
    if let Some(identities) = read(path)? {
        return Ok(identities);
    }
    let made = vec![Identity::generate()];
    if atomic_file::create(path, text(&made).as_bytes(), 0o600)? {
        return Ok(made);
    }
    read(path)?.ok_or_else(|| Error::failed(format!("{path} was removed while it was read")))
}

/// Writes the file (0600) with these identities, over what it held.
///
/// # Errors
/// Fails as the file system does; then it holds what it held before.
pub fn write(path: &Utf8Path, identities: &[Identity]) -> Result<()> {
    atomic_file::write(path, text(identities).as_bytes(), 0o600)
}

fn text(identities: &[Identity]) -> Zeroizing<String> {
    // Allocated once: growing would leave copies behind. A line of each kind is shorter than this.
    let mut text = Zeroizing::new(String::with_capacity(identities.len() * 256));
    for identity in identities {
        text.push_str("# public key: ");
        text.push_str(&identity.to_public().to_string());
        text.push('\n');
        text.push_str(identity.to_string().expose_secret());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    #[test]
    fn a_broken_identity_is_named_but_not_shown() {
        let guard = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(guard.path().join("k")).unwrap();
        assert!(read(&path).unwrap().is_none());
        std::fs::write(&path, "# x\nAGE-SECRET-KEY-1MANGLED\n").unwrap();
        let error = read(&path).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("line 2") && !format!("{error:?}").contains("MANGLED"), "{error:?}");
        std::fs::write(&path, "# only a comment\n").unwrap();
        assert!(read(&path).is_err());
    }
}
