//! How to log in: with a private key, or with one that an SSH agent holds.

use std::sync::Arc;

use camino::Utf8PathBuf;
use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{HashAlg, PrivateKeyWithHashAlg};

use super::ConnectError;
use super::client::{Checker, from_russh};
use crate::keypair::{self, PrivateKey, PublicKey};

const STEP: &str = "logging in";

/// What proves to a machine who logs in.
#[derive(Debug, Clone)]
pub enum Login {
    /// This key.
    Key(Arc<PrivateKey>),
    /// Any key of the SSH agent that listens on this socket. The keys never leave it: it signs.
    Agent(Utf8PathBuf),
}

impl From<PrivateKey> for Login {
    fn from(key: PrivateKey) -> Self {
        Self::Key(Arc::new(key))
    }
}

impl Login {
    /// Logs in on a connection whose host key was proved.
    pub(super) async fn log_in(&self, handle: &mut Handle<Checker>, at: &str, user: &str) -> Result<(), ConnectError> {
        let refused = |keys: &[PublicKey]| ConnectError::UserKeyRefused {
            at: at.to_owned(),
            user: user.to_owned(),
            fingerprint: keys.iter().map(keypair::fingerprint).collect::<Vec<_>>().join(" or "),
        };
        match self {
            Self::Key(key) => {
                let offered = PrivateKeyWithHashAlg::new(key.clone(), hash(handle, key.public_key(), at).await?);
                let result = handle.authenticate_publickey(user, offered).await;
                let result = result.map_err(|error| from_russh(at, error, STEP))?;
                if is_in(at, result)? { Ok(()) } else { Err(refused(std::slice::from_ref(key.public_key()))) }
            }
            Self::Agent(socket) => {
                let failed = |error: String| ConnectError::Agent { socket: socket.clone(), error };
                let mut agent = AgentClient::connect_uds(socket).await.map_err(|error| failed(error.to_string()))?;
                let held = agent.request_identities().await.map_err(|error| failed(error.to_string()))?;
                let keys: Vec<PublicKey> = held
                    .into_iter()
                    .filter_map(|identity| match identity {
                        AgentIdentity::PublicKey { key, .. } => Some(key),
                        AgentIdentity::Certificate { .. } => None,
                    })
                    .collect();
                if keys.is_empty() {
                    return Err(failed("it holds no key".to_owned()));
                }
                for (tried, key) in keys.iter().enumerate() {
                    let hash = hash(handle, key, at).await?;
                    let result = handle.authenticate_publickey_with(user, key.clone(), hash, &mut agent).await;
                    match is_in(at, result.map_err(|error| failed(error.to_string()))?) {
                        Ok(true) => return Ok(()),
                        Ok(false) => {}
                        // sshd takes some keys (MaxAuthTries) and then hangs up: to offer them all again helps nobody.
                        Err(_) if tried > 0 => return Err(refused(&keys[..=tried])),
                        Err(error) => return Err(error),
                    }
                }
                Err(refused(&keys))
            }
        }
    }
}

/// With what an RSA key signs; other kinds of keys leave no choice.
async fn hash(handle: &Handle<Checker>, key: &PublicKey, at: &str) -> Result<Option<HashAlg>, ConnectError> {
    if !key.algorithm().is_rsa() {
        return Ok(None);
    }
    let best = handle.best_supported_rsa_hash().await.map_err(|error| from_russh(at, error, STEP))?;
    Ok(best.flatten())
}

fn is_in(at: &str, result: AuthResult) -> Result<bool, ConnectError> {
    match result {
        AuthResult::Success => Ok(true),
        // What russh reports for a connection that was closed, as pam_nologin does on a machine that boots.
        AuthResult::Failure { remaining_methods, .. } if remaining_methods.is_empty() => {
            Err(ConnectError::Dropped { at: at.to_owned(), step: STEP })
        }
        AuthResult::Failure { .. } => Ok(false),
    }
}
