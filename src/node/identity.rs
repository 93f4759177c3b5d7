//! The node's age identity: made on the node, once; only its recipient leaves.

use age::x25519::Identity;

use super::Paths;
use super::host_key::state_folder;
use crate::{Error, Result, age_identity};

/// The node's recipient (`age1…`); makes the identity where there is none.
///
/// # Errors
/// Fails where the identity cannot be read or written.
pub fn recipient(paths: &Paths) -> Result<String> {
    state_folder(paths)?;
    let identities = age_identity::read_or_create(&paths.identity())?;
    Ok(identities[0].to_public().to_string())
}

/// The identity itself, to open what was sealed for this node.
///
/// # Errors
/// Fails where there is none, or it cannot be read.
pub(super) fn read(paths: &Paths) -> Result<Vec<Identity>> {
    age_identity::read(&paths.identity())?.ok_or_else(|| {
        Error::failed(format!("{} is missing: this node cannot open what is sealed for it", paths.identity()))
            .hint("ask for the node's identity anew, and seal the secrets for its new recipient")
    })
}
