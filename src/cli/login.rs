//! `stead login`: from now on, through a control API.

use std::time::Duration;

use camino::Utf8PathBuf;
use serde::Serialize;
use zeroize::Zeroizing;

use super::env::Env;
use super::printer::table;
use crate::api::accounts::logins::LoggedIn;
use crate::api::fleet::FleetView;
use crate::client::{self, Client, Login, Logins};
use crate::clock::Timestamp;
use crate::error::Context;
use crate::id::FleetId;
use crate::redact::Secret;
use crate::{Error, Result};

/// Logs in to a control plane: commands for the fleet that it serves go there from then on
///
/// Shows a code, which somebody who is signed in types into their browser; the command then acts for them. With --token-file, it
/// acts as the token's holder. Without an address, lists where one is logged in.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the control plane is: https://stead.example.com
    url: Option<String>,
    /// A file that holds a token, in place of a person
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<Utf8PathBuf>,
    /// A certificate authority (PEM) that vouches for the server, beside the public ones
    #[arg(long, value_name = "FILE", requires = "url")]
    ca_file: Option<Utf8PathBuf>,
}

/// A login, without its token.
#[derive(Serialize)]
struct Shown<'a> {
    url: &'a str,
    fleet: &'a FleetId,
    who: Option<&'a str>,
    expires_at: Option<Timestamp>,
}

impl<'a> Shown<'a> {
    fn new(url: &'a str, login: &'a Login) -> Self {
        Self { url, fleet: &login.fleet, who: login.who.as_deref(), expires_at: login.expires_at }
    }
}

/// Runs the command.
///
/// # Errors
/// Fails where the server cannot be reached, or does not let one in.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let dir = dir(env)?;
    let Some(url) = &args.url else { return list(env, &Logins::read(dir)?) };
    // Commands run in other folders, too.
    let ca_file = args.ca_file.as_ref().map(|file| file.canonicalize_utf8().with_context(|| format!("reading {file}")));
    let ca_file = ca_file.transpose()?;
    let server = Client::new(url, None, ca_file.as_deref())?;
    let (token, who, session, expires_at) = match &args.token_file {
        Some(file) => {
            let text = Zeroizing::new(fs_err::read_to_string(file)?);
            (text.trim().to_owned(), None, None, None)
        }
        None => {
            let LoggedIn { token, person, session_id, expires_at } = by_code(env, &server).await?;
            (token, Some(person.email), Some(session_id), Some(expires_at))
        }
    };
    let known = Client::new(url, Some(&Secret::new(token.clone().into_bytes())), ca_file.as_deref())?;
    let remembered = async {
        let fleet: FleetView = known.get("/v1/fleet").await?;
        let login = Login { fleet: fleet.id.clone(), token, who, session, ca_file, expires_at };
        let before = Logins::add(dir, known.address(), login.clone())?;
        Ok::<_, Error>((fleet, login, before))
    };
    let (fleet, login, before) = match remembered.await {
        Ok(remembered) => remembered,
        Err(error) => {
            // Nobody could use the session any more, or end it from here.
            if session.is_some() {
                let _ = known.end("/v1/sessions/current").await;
            }
            return Err(error);
        }
    };
    if let Some(before) = before.filter(|before| before.session.is_some()) {
        // It may have ended long ago.
        let _ = before.client(known.address())?.end("/v1/sessions/current").await;
    }
    let who = login.who.as_deref().map(|who| format!(" as {who}")).unwrap_or_default();
    env.printer.data(
        &Shown::new(known.address(), &login),
        format_args!(
            "Logged in to {}{who}. Commands for the fleet {} ({}) go there from now on, until `stead logout`.",
            known.address(),
            fleet.name,
            login.fleet
        ),
    )
}

/// Where logins are remembered.
pub(super) fn dir(env: &Env) -> Result<&Utf8PathBuf> {
    env.config.config_dir.as_ref().ok_or_else(|| {
        Error::input("HOME is not set, so there is nowhere to remember a login").hint("set HOME, or XDG_CONFIG_HOME")
    })
}

async fn by_code(env: &Env, server: &Client) -> Result<LoggedIn> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let code = client::begin(server, &format!("stead {} on {host}", crate::VERSION)).await?;
    // A prompt, not a remark: without it nothing can happen, also with --quiet.
    env.printer.prompt(format_args!(
        "Open this in a browser, sign in, and let the program in that shows {}:\n\n  {}\n\nor type the code at {}. Waiting, for {} minutes at most.\n",
        code.user_code,
        code.verification_uri_complete,
        code.verification_uri,
        code.expires_in / 60
    ));
    let late = || {
        Error::failed("nobody let the program in while the code was good")
            .hint("run the same command again for a new one")
    };
    let wait = tokio::time::timeout(Duration::from_secs(code.expires_in), client::wait(server, &code));
    wait.await.map_err(|_| late())?
}

fn list(env: &Env, logins: &Logins) -> Result<()> {
    let shown: Vec<Shown<'_>> = logins.iter().map(|(url, login)| Shown::new(url, login)).collect();
    if shown.is_empty() {
        env.printer.say("You are logged in nowhere. `stead login URL` logs in to a control plane.");
        return env.printer.data(&shown, "");
    }
    let cells = shown.iter().map(|login| {
        let who = login.who.unwrap_or("a token").to_owned();
        vec![login.url.to_owned(), who, login.fleet.to_string()]
    });
    let cells: Vec<_> = cells.collect();
    env.printer.data(&shown, table(&["URL", "WHO", "FLEET"], &cells))
}
