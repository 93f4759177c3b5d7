//! `stead node sweep`: machines without a record, and records without a machine.

use std::collections::HashMap;

use super::control::ControlArgs;
use super::env::Env;
use super::printer::table;
use crate::audit;
use crate::store::FleetLock;
use crate::workflow::flows::sweep::{self, Fault, Finding, Mend};
use crate::{Error, Kind, Result};

/// Compares what providers hold with the record, both ways; tells, and with --fix mends
///
/// Only what bears this fleet's mark is looked at, and nothing that a workflow is busy with. Local machines are looked for on this
/// host. Exits with 3 where something is found that was not put right.
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
    #[command(flatten)]
    control: ControlArgs,
}

/// Runs the command.
///
/// # Errors
/// Fails where a provider or the store does, and with [`Kind::Pending`] where something is left to be put right.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let control = env.control(args.control.layers(&[])?).await?;
    if !control.store.is_shared() {
        env.refuse_remote("`stead node sweep`")?;
    }
    let platform = control.platform(env)?;
    let mend = Mend { known: args.fix, unknown: args.unknown };
    let lock = (args.fix && !control.store.is_shared())
        .then(|| FleetLock::take(&control.home.join(".stead"), "stead node sweep"))
        .transpose()?;
    let found = sweep::sweep(&platform, &control.store, mend, &env.actor()).await?;
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
            vec![node, slug(finding), finding.provider.clone(), word(finding.fault).into(), outcome.into()]
        })
        .collect();
    let text = match found.is_empty() {
        true => String::new(),
        false => table(&["NODE", "WORKSPACE", "PROVIDER", "WHAT", "OUTCOME"], &cells),
    };
    env.printer.data(&found, text)?;
    let left: Vec<&Finding> = found.iter().filter(|finding| !finding.mended).collect();
    if left.is_empty() {
        env.printer.say("What is there is what the record says.");
        return Ok(());
    }
    let has = |fault| left.iter().any(|finding| finding.fault == fault);
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

fn word(fault: Fault) -> &'static str {
    match fault {
        Fault::LeftOver => "machine of a node that is gone",
        Fault::Unknown => "machine that nobody knows",
        Fault::Lost => "node whose machine is gone",
    }
}
