//! Logging in: a code that somebody types into a browser (after RFC 8628).

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Client;
use crate::{Kind, Result};

/// What is shown to whoever is to let us in, and what we come back with.
#[derive(Deserialize)]
pub struct Code {
    device_code: String,
    /// What people type.
    pub user_code: String,
    /// Where they type it.
    pub verification_uri: String,
    /// The same, with the code in it.
    pub verification_uri_complete: String,
    /// For how many seconds it is good.
    pub expires_in: u64,
    interval: u64,
}

#[derive(Serialize)]
struct Ask<'a> {
    agent: &'a str,
}

#[derive(Serialize)]
struct Claim<'a> {
    device_code: &'a str,
}

/// Asks for a code; `agent` is what whoever lets us in is shown.
///
/// # Errors
/// Fails where the server cannot be reached, or lets nobody in this way.
pub async fn begin(client: &Client, agent: &str) -> Result<Code> {
    client.create("/v1/logins", &Ask { agent }).await
}

/// Waits until somebody has decided, and gives what the server says then: the token, with whose it is.
///
/// # Errors
/// Fails where somebody said no, and where nobody said anything while the code was good.
pub async fn wait<T: DeserializeOwned>(client: &Client, code: &Code) -> Result<T> {
    loop {
        tokio::time::sleep(Duration::from_secs(code.interval.clamp(1, 30))).await;
        match client.poll("/v1/logins/claim", &Claim { device_code: &code.device_code }).await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => {}
            // It may be back before the code ends; whoever called has a limit for all of it.
            Err(error) if matches!(error.kind(), Kind::Unreachable | Kind::Unavailable) => {}
            Err(error) => return Err(error),
        }
    }
}
