//! `stead serve`: the control API.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::net::TcpListener;
use zeroize::Zeroizing;

use super::control::{Control, ControlArgs};
use super::env::{Env, Held};
use super::publish::publish_tiers;
use super::work::stop_on_signals;
use super::worker::{sweeping, worker};
use crate::accounts::TokenHash;
use crate::api::{self, App, Origin, Settings};
use crate::config::layers::Layers;
use crate::notify::Mailer;
use crate::redact::{self, Secret};
use crate::secrets::keys::FleetKeys;
use crate::workflow::flows;
use crate::workflow::{Engine, NoObserver};
use crate::{Error, Result, atomic_file, ownership, telemetry};

/// Serves the control API, and runs its workflows where nobody else does
///
/// In a fleet's folder it starts as one program: it publishes the fleet's files, holds the fleet's lock, and runs the workflows
/// by itself. With a PostgreSQL database any number of them serve, and `stead worker`s run the workflows.
///
/// `GET /healthz` and `/readyz` are open to all; what lies under /v1 wants the header `Authorization: Bearer TOKEN`;
/// `/openapi.json` describes it. It speaks plain HTTP: leave it on a loopback address, and put a proxy that speaks TLS in front.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    control: ControlArgs,
    /// The address and port to listen on (http.listen); port 0 takes any that is free [default: 127.0.0.1:7380]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// A file that holds the operator's token [default: .stead/keys/api-token, made where it is missing]
    #[arg(long, value_name = "FILE")]
    token_file: Option<Utf8PathBuf>,
}

/// The shortest token that is taken, in bytes: 128 bits in hexadecimal.
const SHORTEST: usize = 32;

/// For how long mails that wait are sent after the last request.
const MAIL_PATIENCE: Duration = Duration::from_secs(5);

/// What is said at the first Ctrl-C.
const STOPPING: &str = "Answering the requests under way and handing over; press Ctrl-C again to stop at once.";

/// Runs the command.
///
/// # Errors
/// Fails where the address is taken, or the token or the store cannot be read.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let layers = args.control.layers(&[("http.listen", args.listen.map(|address| address.to_string()))])?;
    let traces = env.telemetry(&layers.control, "stead-serve")?;
    let ended = serve(args, env, layers).await;
    if let Some(traces) = traces {
        traces.finish().await;
    }
    ended
}

async fn serve(args: &Args, env: &Env, layers: Layers) -> Result<()> {
    let listen = layers.control.http.listen;
    let home = env.home(&layers)?;
    let file = args.token_file.clone().unwrap_or_else(|| FleetKeys::folder(&home).join("api-token"));
    if args.token_file.is_none() {
        make_token(&file)?;
    }
    let token = read_token(&file)?;
    let listener = TcpListener::bind(listen).await.map_err(|error| cannot_listen(listen, "listen", error))?;
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        env.printer.warn(format_args!("{address} is no loopback address: the token crosses the network unencrypted"));
    }
    let control = match &layers.control.database.url {
        Some(_) => env.control(layers).await?,
        None => embedded(env, layers).await?,
    };
    let stop = stop_on_signals(env.printer, STOPPING)?;
    // Before the first request is counted.
    telemetry::count()?;
    let platform = Arc::new(control.platform(env)?);
    let engine = Engine::new(control.store.clone(), platform.clone(), flows::registry(), Arc::new(NoObserver), "api");
    let settings = &control.layers.control;
    let (mailer, sending) = Mailer::start(&settings.mail)?.unzip();
    if mailer.is_none() {
        env.printer.say("Nobody can sign in: mail.host is not set. Tokens work.");
    }
    let origin = match &settings.http.public_url {
        Some(url) => Some(Origin::parse(url)?),
        None if mailer.is_some() => Some(Origin::parse(&format!("http://{address}"))?),
        // Browsers keep no cookies of an address of a network; tokens need none.
        None => Origin::parse(&format!("http://{address}")).ok(),
    };
    let api = Settings {
        http: settings.http.clone(),
        limits: settings.limits.clone(),
        accounts: settings.accounts.clone(),
        origin,
        mailer,
    };
    let app = App::new(engine, platform, token, api);
    let worker = match control.store.is_shared() {
        true => None,
        false => Some((worker(env, &control, stop.clone())?, sweeping(env, &control, stop.clone())?)),
    };
    env.printer.say(format_args!("Serving http://{address}; the operator's token is in {file}. Ctrl-C ends it."));
    env.printer.data(&serde_json::json!({"listen": address, "token_file": file}), "")?;
    let work = async {
        match worker {
            Some((worker, sweeping)) => tokio::join!(worker.run(), sweeping).0,
            None => Ok(()),
        }
    };
    let (served, worked) = tokio::join!(api::serve(listener, api::router(app), &settings.http, stop.clone()), work);
    if let Some(sending) = sending {
        sending.finish(MAIL_PATIENCE).await;
    }
    served.and(worked)?;
    control.store.close().await;
    Ok(())
}

/// The fleet's own store, with its files published; nobody else changes it meanwhile.
async fn embedded(env: &Env, layers: Layers) -> Result<Control> {
    let mut held = env.hold("stead serve").await?;
    publish_tiers(env, &mut held).await?;
    let Held { place, store } = held;
    Ok(Control { layers, home: place.dir, store, fleet: place.desired.fleet.id.clone() })
}

fn make_token(file: &Utf8Path) -> Result<()> {
    if file.exists() {
        return Ok(());
    }
    if let Some(folder) = file.parent() {
        atomic_file::private_folder(folder)?;
    }
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes).map_err(|error| Error::failed(format!("the system gives no randomness: {error}")))?;
    let token = Zeroizing::new(hex::encode(*bytes) + "\n");
    atomic_file::create(file, token.as_bytes(), 0o600)?;
    file.parent().into_iter().chain([file]).try_for_each(ownership::inherit)
}

fn read_token(file: &Utf8Path) -> Result<TokenHash> {
    let text = atomic_file::read(file)?.map(Zeroizing::new).ok_or_else(|| {
        Error::input(format!("there is no file {file}"))
            .hint("without --token-file, stead makes a token by itself; `openssl rand -hex 32` prints one for a file of your own")
    })?;
    let token = text.trim_ascii();
    if token.len() < SHORTEST {
        return Err(Error::input(format!(
            "the token in {file} has {} characters; {SHORTEST} are the least",
            token.len()
        ))
        .hint("`openssl rand -hex 32` prints one that nobody guesses"));
    }
    // Logs are not to show it, whoever sends it to where it does not belong.
    redact::keep(Secret::new(token.to_vec()));
    Ok(TokenHash::of(token))
}

/// The error for an address that the flag `--FLAG` gives.
pub(super) fn cannot_listen(address: SocketAddr, flag: &str, error: std::io::Error) -> Error {
    let hint = match error.kind() {
        ErrorKind::AddrInUse => format!(
            "another program listens there (`ss -ltnp 'sport = :{0}'` names it); end it, or take another port: `--{flag} {1}:0` takes any that is free",
            address.port(),
            address.ip()
        ),
        ErrorKind::PermissionDenied => format!("ports below 1024 are root's: take a higher one with --{flag}"),
        ErrorKind::AddrNotAvailable => "this machine has no such address: `ip address` lists those that it has".into(),
        _ => format!("give another address with --{flag}"),
    };
    Error::failed(format!("cannot listen on {address}")).because(error).hint(hint)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_token_is_made_once_and_is_its_owners() {
        let temp = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(temp.path()).unwrap().join("keys/api-token");
        make_token(&file).unwrap();
        let first = std::fs::read_to_string(&file).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        make_token(&file).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), first);
        assert!(read_token(&file).unwrap().matches(first.trim().as_bytes()));
        std::fs::write(&file, "short\n").unwrap();
        assert_eq!(read_token(&file).err().unwrap().kind(), crate::Kind::Input);
    }
}
