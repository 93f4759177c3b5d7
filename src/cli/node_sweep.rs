//! `stead node sweep`: machines without a record, and records without a machine.

use std::collections::HashMap;

use super::afar::side_by_side;
use super::control::ControlArgs;
use super::env::Env;
use super::follow::follow;
use super::plane::Plane;
use super::printer::table;
use super::work;
use crate::api::sweeps::{SweepView, SweepsBegun};
use crate::audit;
use crate::client::Client;
use crate::clock::{Clock, SystemClock};
use crate::store::FleetLock;
use crate::workflow::flows::sweep::{self, Fault, Finding, Mend};
use crate::{Error, Kind, Result};

/// Compares what providers hold with the record, both ways; tells, and with --fix mends
///
/// Only what bears this fleet's mark is looked at, and nothing that a workflow is busy with. Local machines are looked for on this
/// host; through a control API, what workers found last on each host is shown, and with --fix each host is swept anew. Exits with 3 where something is found that was not put right.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Destroy machines whose node is gone, and write down nodes whose machine is gone as degraded
    #[arg(long)]
    fix: bool,
    /// Destroy also machines that the record has never heard of; what they hold is lost
    ///
    /// After a restore from an older backup they may be customers'.
    #[arg(long, requires = "fix")]
    unknown: bool,
    /// Through a control API: have this host alone swept
    #[arg(long, value_name = "HOST", requires = "fix")]
    host: Option<String>,
    #[command(flatten)]
    control: ControlArgs,
}

/// Runs the command.
///
/// # Errors
/// Fails where a provider or the store does, and with [`Kind::Pending`] where something is left to be put right.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let layers = args.control.layers(&[])?;
    if layers.control.database.url.is_none()
        && let Some(client) = env.remote()?
    {
        return there(args, env, &client).await;
    }
    if args.host.is_some() {
        return Err(Error::input("--host is for a control API, and this command looks at the host that it runs on")
            .hint("leave it out, or run the command on that host"));
    }
    let control = env.control(layers).await?;
    let platform = control.platform(env)?;
    let mend = Mend { known: args.fix, unknown: args.unknown };
    let lock = (args.fix && !control.store.is_shared())
        .then(|| FleetLock::take(&control.home.join(".stead"), "stead node sweep"))
        .transpose()?;
    let found = sweep::sweep(&platform, &control.store, mend, &env.actor()).await?;
    if control.store.is_shared() {
        sweep::record(&platform, &control.store, &found).await?;
    }
    if lock.is_some() {
        audit::seal(&control.store).await?;
    }
    drop(lock);
    let mut slugs = HashMap::new();
    let mut reader = control.store.read().await?;
    for id in found.iter().filter_map(|finding| finding.workspace) {
        slugs.extend(reader.workspace(id).await?.map(|workspace| (id, workspace.slug)));
    }
    drop(reader);
    let slug =
        |finding: &Finding| finding.workspace.and_then(|id| slugs.get(&id)).cloned().unwrap_or_else(|| "-".into());
    let cells: Vec<Vec<String>> = found
        .iter()
        .map(|finding| {
            let outcome = if finding.mended { "mended" } else { "left" };
            let node = finding.node.to_string();
            vec![node, slug(finding), finding.provider.clone(), word(finding.fault.as_str()).into(), outcome.into()]
        })
        .collect();
    let text = match found.is_empty() {
        true => String::new(),
        false => table(&["NODE", "WORKSPACE", "PROVIDER", "WHAT", "OUTCOME"], &cells),
    };
    env.printer.data(&found, text)?;
    conclude(env, found.iter().map(|finding| (finding.fault.as_str(), finding.mended)))
}

/// Has every host swept, where something is to be put right, and shows what was found on each.
async fn there(args: &Args, env: &Env, client: &Client) -> Result<()> {
    let mut away = Vec::new();
    if args.fix {
        let body = serde_json::json!({"host": args.host, "fix": true, "unknown": args.unknown});
        let mut begun: SweepsBegun = client.create("/v1/sweeps", &body).await?;
        // The one host that was asked for is waited for.
        if args.host.is_none() {
            away = begun.away;
            begun.workflows.retain(|workflow| workflow.host.as_ref().is_none_or(|host| !away.contains(host)));
        }
        let watching = begun.workflows.iter().map(|workflow| follow(env, client, &workflow.subject, workflow.id));
        let failed = side_by_side(watching).await.into_iter().filter_map(Result::err).collect();
        work::conclude(&env.printer, format_args!("{} hosts", begun.workflows.len()), failed)?;
    }
    let sweeps: Vec<SweepView> = client.list("/v1/sweeps", &[], usize::MAX).await?;
    if sweeps.is_empty() {
        env.printer.say("No host was swept yet: workers that make local nodes do so when they start.");
        return env.printer.data(&sweeps, "");
    }
    let plane = Plane::There(client.clone());
    let now = SystemClock.now();
    let mut cells = Vec::new();
    for sweep in &sweeps {
        let minutes = (now - sweep.swept_at).num_minutes().max(0);
        let when = vec![sweep.host.clone(), sweep.provider.clone(), format!("{minutes} min ago")];
        if sweep.findings.is_empty() {
            cells.push([when.as_slice(), &["-", "-", "as the record says", "-"].map(str::to_owned)].concat());
        }
        for finding in &sweep.findings {
            let about = match finding.workspace {
                Some(id) => plane.name_of(&id.to_string()).await?,
                None => "-".to_owned(),
            };
            let outcome = if finding.mended { "mended" } else { "left" };
            let rest = [finding.node.to_string(), about, word(&finding.fault).to_owned(), outcome.to_owned()];
            cells.push([when.as_slice(), &rest].concat());
        }
    }
    env.printer.data(&sweeps, table(&["HOST", "PROVIDER", "SWEPT", "NODE", "WORKSPACE", "WHAT", "OUTCOME"], &cells))?;
    let found = sweeps.iter().flat_map(|sweep| &sweep.findings);
    let concluded = conclude(env, found.map(|finding| (finding.fault.as_str(), finding.mended)));
    if away.is_empty() {
        return concluded;
    }
    let gone = format!("no worker is there on {}", away.join(", "));
    let waits = "a host is swept as soon as its worker is back: `stead workflow list` shows what waits";
    Err(match concluded {
        Ok(()) => Error::new(Kind::Pending, gone).hint(waits),
        Err(error) => error.hint(format!("{gone}; {waits}")),
    })
}

/// Says whether all is well, by each fault and whether it was mended.
fn conclude<'a>(env: &Env, found: impl Iterator<Item = (&'a str, bool)>) -> Result<()> {
    let found: Vec<(&str, bool)> = found.collect();
    let left: Vec<&str> = found.iter().filter(|(_, mended)| !mended).map(|(fault, _)| *fault).collect();
    if left.is_empty() {
        env.printer.say("What is there is what the record says.");
        return Ok(());
    }
    let has = |fault: Fault| left.contains(&fault.as_str());
    let mut error = Error::new(Kind::Pending, format!("{} of {} are left as they are", left.len(), found.len()));
    if has(Fault::LeftOver) {
        error = error.hint("`stead node sweep --fix` destroys machines whose node is gone");
    }
    if has(Fault::Lost) {
        error = error.hint(
            "`stead down` (or DELETE through the API) clears the record of a node whose machine is gone; `--fix` writes it down \
             as degraded until then",
        );
    }
    if has(Fault::Unknown) {
        error = error.hint(
            "machines that the record has never heard of may be customers', from before a restore; \
             `--fix --unknown` destroys them",
        );
    }
    Err(error)
}

fn word(fault: &str) -> &str {
    match Fault::ALL.into_iter().find(|known| known.as_str() == fault) {
        Some(Fault::LeftOver) => "machine of a node that is gone",
        Some(Fault::Unknown) => "machine that nobody knows",
        Some(Fault::Lost) => "node whose machine is gone",
        // A newer server may know more.
        None => fault,
    }
}
