//! `stead worker`: runs workflows as they come.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::control::{Control, ControlArgs};
use super::env::Env;
use super::serve::cannot_listen;
use super::work::stop_on_signals;
use crate::api;
use crate::audit::Checkpoints;
use crate::config::control as settings;
use crate::config::layers::Layers;
use crate::store::Ability;
use crate::workflow::flows::{self, Platform, sweep};
use crate::workflow::{Engine, Event, EventState, Worker};
use crate::{Error, Result, telemetry};

/// Runs the control plane's workflows, beside any number of others on any number of machines
///
/// Needs PostgreSQL: with the embedded store `stead serve` runs workflows by itself. Run it as root where it is to make local
/// nodes, with the fleet's keys in the state folder's .stead/keys. The first Ctrl-C hands over what is under way.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    control: ControlArgs,
    /// The most workflows at once (worker.concurrency)
    #[arg(long, value_name = "N")]
    concurrency: Option<u32>,
    /// This host's name among workers (worker.host) [default: the machine's]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Give figures at /metrics, and /healthz, on a loopback address (worker.metrics); port 0 takes any that is free
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<SocketAddr>,
}

/// What is said at the first Ctrl-C.
const HANDING_OVER: &str = "Handing over after the steps under way; press Ctrl-C again to stop at once.";

/// Runs the command.
///
/// # Errors
/// Fails where the database or the fleet's keys cannot be reached.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let flags = [
        ("worker.concurrency", args.concurrency.map(|n| n.to_string())),
        ("worker.host", args.host.clone()),
        ("worker.metrics", args.metrics.map(|address| address.to_string())),
    ];
    let layers = args.control.layers(&flags)?;
    let traces = env.telemetry(&layers.control, "stead-worker")?;
    let ended = work(env, layers).await;
    if let Some(traces) = traces {
        traces.finish().await;
    }
    ended
}

async fn work(env: &Env, layers: Layers) -> Result<()> {
    if layers.control.database.url.is_none() {
        return Err(Error::input("the embedded store has one program that works on it")
            .hint("`stead serve` runs its workflows by itself")
            .hint("or name a PostgreSQL database with --database"));
    }
    let watched = match layers.control.worker.metrics {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let control = env.control(layers).await?;
    let stop = stop_on_signals(env.printer, HANDING_OVER)?;
    let sweeping = sweeping(env, &control, stop.clone())?;
    let worker = worker(env, &control, stop.clone())?;
    env.printer.say(format_args!("Working on the store {}. Ctrl-C hands over and ends.", control.store.place()));
    let host = control.layers.control.worker.host_name();
    let (watched, address) = watched.unzip();
    let ready = serde_json::json!({"store": control.store.place(), "host": host, "metrics": address});
    env.printer.data(&ready, "")?;
    let figures = async {
        match watched {
            Some(listener) => api::figures(listener, stop.clone()).await,
            None => Ok(()),
        }
    };
    let work = async {
        let worked = worker.run().await;
        stop.cancel();
        worked
    };
    let (worked, watched, ()) = tokio::join!(work, figures, sweeping);
    worked.and(watched)?;
    control.store.close().await;
    Ok(())
}

/// Listens for those who watch. They need no token, so they are to be on this machine.
async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    if !address.ip().is_loopback() {
        return Err(Error::input(format!("worker.metrics: {address} is no loopback address")).hint(
            "a worker gives its figures to whoever asks: let a Prometheus agent on this machine, or a proxy, ask it",
        ));
    }
    // Before the first step is counted.
    telemetry::count()?;
    let listener = TcpListener::bind(address).await.map_err(|error| cannot_listen(address, "metrics", error))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// The worker of this program.
///
/// # Errors
/// Fails where the fleet's keys are not here.
pub(super) fn worker(env: &Env, control: &Control, stop: CancellationToken) -> Result<Worker<Platform>> {
    let settings = &control.layers.control.worker;
    let platform = Arc::new(control.platform(env)?);
    let checkpoints = Checkpoints::new(control.checkpoints(), platform.keys.audit_signer().clone());
    let observer = Arc::new(|event: Event| log(&event));
    let engine = Engine::new(control.store.clone(), platform, flows::registry(), observer, "worker");
    let engine = engine.with_cancellation(stop).with_patience();
    #[cfg(debug_assertions)]
    let engine = engine.with_fault(env.config.fault.as_deref().map(str::parse).transpose()?);
    let abilities = if makes_nodes(env, settings) { vec![Ability::Local] } else { Vec::new() };
    let concurrency = usize::try_from(settings.concurrency).unwrap_or(usize::MAX);
    Ok(Worker::new(engine, settings.host_name(), abilities, concurrency).with_checkpoints(checkpoints))
}

fn makes_nodes(env: &Env, settings: &settings::Worker) -> bool {
    settings.local.unwrap_or(env.config.root)
}

/// Sweeps this host again and again, where it makes nodes and that is wanted.
///
/// # Errors
/// Fails where the fleet's keys are not here.
pub(super) fn sweeping(
    env: &Env,
    control: &Control,
    stop: CancellationToken,
) -> Result<impl Future<Output = ()> + Send + 'static> {
    let settings = &control.layers.control.worker;
    let every = Duration::from_secs(60) * settings.sweep_minutes;
    let is_wanted = makes_nodes(env, settings) && !every.is_zero();
    let (platform, store) = (Arc::new(control.platform(env)?), control.store.clone());
    Ok(async move {
        if is_wanted {
            sweep::rounds(platform, store, every, stop).await;
        }
    })
}

fn log(event: &Event) {
    let Event { workflow, kind, subject, step, message, elapsed, .. } = event;
    match event.state {
        EventState::Progress | EventState::Task => {
            tracing::debug!(%workflow, kind, subject, step, message, "progress");
        }
        EventState::Failed | EventState::Parked | EventState::Retrying => {
            tracing::warn!(%workflow, kind, subject, step, message, state = ?event.state, ?elapsed, "workflow");
        }
        state => tracing::info!(%workflow, kind, subject, step, ?state, ?elapsed, "workflow"),
    }
}
