//! The node's age identity: made on the node; only its recipient leaves.
//!
//! It is replaced as the SSH host key is: the next one is made aside, and put in use once the controller has recorded its
//! recipient. The file then holds both, the new one first, so that what was sealed for the old one is still opened; the old one is
//! destroyed when nothing of that is on its way any more.

use age::x25519::Identity;

use super::Paths;
use super::host_key::state_folder;
use crate::{Error, Result, age_identity, atomic_file};

/// The node's recipient (`age1…`); makes the identity where there is none.
///
/// # Errors
/// Fails where the identity cannot be read or written.
pub fn recipient(paths: &Paths) -> Result<String> {
    state_folder(paths)?;
    let identities = age_identity::read_or_create(&paths.identity())?;
    Ok(identities[0].to_public().to_string())
}

/// Makes another identity aside, or finds the one made before. Returns its recipient.
///
/// # Errors
/// Fails where an identity cannot be read or written.
pub fn prepare(paths: &Paths) -> Result<String> {
    state_folder(paths)?;
    let identities = age_identity::read_or_create(&paths.new_identity())?;
    Ok(identities[0].to_public().to_string())
}

/// Puts the identity in use that was made aside, before those that were in use. Does nothing where it is in use already.
///
/// # Errors
/// Fails where `recipient` is not that of an identity made here, and where a file cannot be read or written.
pub fn install(paths: &Paths, recipient: &str) -> Result<()> {
    let mut held = read(paths)?;
    if held[0].to_public().to_string() != recipient {
        let mut aside = age_identity::read(&paths.new_identity())?.unwrap_or_default();
        aside.retain(|identity| identity.to_public().to_string() == recipient);
        let next = aside.pop().ok_or_else(|| not_made_here(recipient))?;
        held.insert(0, next);
        age_identity::write(&paths.identity(), &held)?;
    }
    // In this order: a crash in between leaves it in both places, and the next call comes to here.
    atomic_file::remove(&paths.new_identity())?;
    Ok(())
}

/// Destroys every identity but that of this recipient, one that was made aside included.
///
/// # Errors
/// Fails where the node does not have it in use, and where a file cannot be read or written.
pub fn retire(paths: &Paths, recipient: &str) -> Result<()> {
    let mut held = read(paths)?;
    let before = held.len();
    held.retain(|identity| identity.to_public().to_string() == recipient);
    if held.is_empty() {
        return Err(not_made_here(recipient));
    }
    if held.len() < before {
        age_identity::write(&paths.identity(), &held)?;
    }
    atomic_file::remove(&paths.new_identity())?;
    Ok(())
}

fn not_made_here(recipient: &str) -> Error {
    Error::failed(format!("the identity of {recipient} was not made on this node, or is gone"))
        .hint("ask the node for another one: it puts no other in use")
}

/// The identities themselves, to open what was sealed for this node: the one in use, and those before it.
///
/// # Errors
/// Fails where there is none, or it cannot be read.
pub(super) fn read(paths: &Paths) -> Result<Vec<Identity>> {
    age_identity::read(&paths.identity())?.ok_or_else(|| {
        Error::failed(format!("{} is missing: this node cannot open what is sealed for it", paths.identity()))
            .hint("ask for the node's identity anew, and seal the secrets for its new recipient")
    })
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    fn node() -> (tempfile::TempDir, Paths) {
        let guard = tempfile::tempdir().unwrap();
        let paths = Paths::new(Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap());
        (guard, paths)
    }

    /// Whether what is sealed for this recipient is opened here.
    fn opens(paths: &Paths, recipient: &str) -> bool {
        let recipient: age::x25519::Recipient = recipient.parse().unwrap();
        let sealed = age::encrypt(&recipient, b"x").unwrap();
        read(paths).unwrap().iter().any(|identity| age::decrypt(identity, &sealed).is_ok())
    }

    #[test]
    fn both_open_until_the_old_one_is_retired() {
        let (_guard, paths) = node();
        let old = recipient(&paths).unwrap();
        let new = prepare(&paths).unwrap();
        assert_eq!(prepare(&paths).unwrap(), new, "one, however often it is asked for");
        assert_eq!(recipient(&paths).unwrap(), old, "it is not in use yet");
        assert!(!opens(&paths, &new));
        for _ in 0..2 {
            install(&paths, &new).unwrap();
            assert_eq!(recipient(&paths).unwrap(), new);
            assert!(opens(&paths, &old) && opens(&paths, &new));
        }
        for _ in 0..2 {
            retire(&paths, &new).unwrap();
            assert!(!opens(&paths, &old) && opens(&paths, &new));
        }
        assert!(!paths.new_identity().exists());
    }

    #[test]
    fn a_crash_before_the_one_aside_is_removed_heals() {
        let (_guard, paths) = node();
        let old = recipient(&paths).unwrap();
        let new = prepare(&paths).unwrap();
        let aside = std::fs::read(paths.new_identity()).unwrap();
        install(&paths, &new).unwrap();
        std::fs::write(paths.new_identity(), aside).unwrap();
        install(&paths, &new).unwrap();
        assert!(!paths.new_identity().exists());
        assert_eq!(read(&paths).unwrap().len(), 2);
        // Given up: what was in use before is alone again.
        retire(&paths, &old).unwrap();
        assert_eq!(recipient(&paths).unwrap(), old);
        assert!(!opens(&paths, &new));
    }

    #[test]
    fn no_other_is_put_in_use_or_kept() {
        let (_guard, paths) = node();
        assert!(install(&paths, "age1x").is_err(), "there is none to replace");
        let old = recipient(&paths).unwrap();
        prepare(&paths).unwrap();
        let other = Identity::generate().to_public().to_string();
        assert!(install(&paths, &other).is_err() && retire(&paths, &other).is_err());
        assert_eq!(recipient(&paths).unwrap(), old);
    }
}
