//! The credentials that systemd gave to the workload's unit.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Options;
use crate::error::Context;
use crate::redact::Secret;
use crate::wire::fingerprint::{KEY_LEN, SALT_LEN, fingerprint};
use crate::{Error, Result};

/// What may be told of a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Held {
    version: u64,
    fingerprint: String,
}

/// What the node agent keeps of a secret beside its value, given to the unit as `NAME.meta`.
#[derive(Deserialize)]
struct Meta {
    version: u64,
    salt: String,
    fingerprint_key: String,
}

/// The fingerprints of the credentials that the workload needs, computed anew from their values.
///
/// # Errors
/// Fails where one is missing.
pub(super) fn read(options: &Options) -> Result<BTreeMap<String, Held>> {
    options.credentials.iter().map(|name| Ok((name.clone(), one(options, name)?))).collect()
}

fn one(options: &Options, name: &str) -> Result<Held> {
    let dir: &Path = options
        .credentials_dir
        .as_deref()
        .ok_or_else(|| Error::failed(format!("the credential {name} is missing: systemd gave none")))?;
    let missing = || format!("the credential {name} is missing");
    let value = Secret::new(std::fs::read(dir.join(name)).with_context(missing)?);
    let meta = std::fs::read(dir.join(format!("{name}.meta"))).with_context(missing)?;
    let meta: Meta = serde_json::from_slice(&meta)
        .map_err(|error| Error::failed(format!("what is known of the credential {name} is broken")).because(error))?;
    let (mut key, mut salt) = ([0; KEY_LEN], [0; SALT_LEN]);
    let broken = |error| Error::failed(format!("the fingerprint's key of {name} is broken")).because(error);
    hex::decode_to_slice(&meta.fingerprint_key, &mut key).map_err(broken)?;
    hex::decode_to_slice(&meta.salt, &mut salt).map_err(broken)?;
    Ok(Held { version: meta.version, fingerprint: fingerprint(&key, &salt, value.expose()) })
}
