//! `stead logout`: back to the store here.

use super::env::Env;
use super::login::dir;
use crate::client::{Client, Logins};
use crate::{Error, Kind, Result};

/// Logs out of a control plane, and ends the session there
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where [default: the one that commands here go to]
    url: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Fails where one is not logged in there.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let dir = dir(env)?;
    let logins = Logins::read(dir)?;
    let url = match &args.url {
        // As it is remembered.
        Some(url) => Client::new(url, None, None)?.address().to_owned(),
        None => {
            let here = env.remote()?.map(|client| client.address().to_owned());
            here.ok_or_else(|| {
                Error::input("commands here go to no control plane").hint("`stead login` lists where you are logged in")
            })?
        }
    };
    let (_, login) = logins.iter().find(|(address, _)| *address == url).ok_or_else(|| {
        Error::input(format!("you are not logged in to {url}")).hint("`stead login` lists where you are")
    })?;
    if let Some(session) = login.session {
        let ended = match login.client(&url) {
            Ok(client) => client.end("/v1/sessions/current").await,
            Err(error) => Err(error),
        };
        // One that has ended already is refused, which is as good. What is remembered here goes in any case.
        if let Err(error) = ended
            && error.kind() != Kind::Input
        {
            env.printer.warn(format_args!(
                "the session goes on at the server: {}. `DELETE {url}/v1/sessions/{session}` ends it",
                error.one_line()
            ));
        }
    }
    Logins::remove(dir, &url)?;
    env.printer.data(&serde_json::json!({"url": url}), format_args!("Logged out of {url}."))
}
