//! `stead audit`: who did what, and whether the log is whole.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::Serialize;

use super::control::ControlArgs;
use super::env::Env;
use super::printer::table;
use super::text::time;
use crate::api::views::EntryView;
use crate::audit::{self, checkpoint};
use crate::{Error, Result};

/// Shows the audit log, and checks that nobody has changed it
#[derive(Debug, clap::Subcommand)]
pub(super) enum Audit {
    Show(ShowArgs),
    Verify(VerifyArgs),
}

/// Shows the latest entries, oldest first
#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// Only what was done to this: a workspace's slug, or an id
    #[arg(long)]
    target: Option<String>,
    /// At most so many entries
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
}

/// Recomputes the chain over all entries; fails where one was changed, removed or reordered
///
/// Compares it with the signed checkpoints outside the database, which show a log that was cut short or made anew as a whole.
#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    control: ControlArgs,
    /// A copy of the checkpoints, from where nobody could change it (audit.checkpoints) [default: .stead/checkpoints]
    #[arg(long, value_name = "FILE")]
    checkpoints: Option<Utf8PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// Fails where the store cannot be read, and, for `verify`, where the log is broken.
pub(super) async fn run(command: &Audit, env: &Env) -> Result<()> {
    match command {
        Audit::Show(args) => show(args, env).await,
        Audit::Verify(args) => verify(args, env).await,
    }
}

async fn show(args: &ShowArgs, env: &Env) -> Result<()> {
    let rows = env.plane().await?.entries(args.target.as_deref(), args.limit).await?;
    if rows.is_empty() {
        env.printer.say("There are no such entries.");
        return env.printer.data(&rows, "");
    }
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    env.printer.data(&rows, table(&["WHEN (UTC)", "WHO", "WHAT", "TO WHAT", "OUTCOME", "DETAILS"], &cells))
}

fn cells(row: &EntryView) -> Vec<String> {
    let details = row.details.as_object().into_iter().flatten().map(|(name, value)| match value.as_str() {
        Some(text) => format!("{name}={text}"),
        None => format!("{name}={value}"),
    });
    vec![
        time(row.at),
        row.actor.clone(),
        row.action.clone(),
        row.target.clone(),
        row.outcome.clone(),
        details.collect::<Vec<_>>().join(" "),
    ]
}

#[derive(Serialize)]
struct Verified {
    whole: bool,
    /// How many checkpoints the chain was compared with.
    checkpoints: usize,
    #[serde(flatten)]
    report: audit::Report,
}

async fn verify(args: &VerifyArgs, env: &Env) -> Result<()> {
    let flag = [("audit.checkpoints", args.checkpoints.as_ref().map(ToString::to_string))];
    let control = env.control(args.control.layers(&flag)?).await?;
    if !control.store.is_shared() {
        env.refuse_remote("`stead audit verify`")?;
    }
    let file = control.checkpoints();
    let checkpoints = if file.is_file() || args.checkpoints.is_some() {
        let platform = control.platform(env)?;
        checkpoint::read(&file, &control.fleet, platform.keys.audit_signer().public_key())?
    } else {
        BTreeMap::new()
    };
    let report = audit::verify_against(&control.store, &checkpoints).await?;
    let checkpoints = checkpoints.len();
    let mut text = match report.verified {
        0 if report.head.is_none() => "No entry is sealed yet.".to_owned(),
        1 => "The one entry is as it was sealed.".to_owned(),
        many => format!("All {many} entries are as they were sealed."),
    };
    if report.unsealed > 0 {
        text += &format!(" To be sealed: {}.", report.unsealed);
    }
    if let Some(head) = &report.head {
        text += &format!("\nThe log ends at entry {}: {}", head.seq, head.hash);
    }
    if checkpoints > 0 {
        text += &format!("\nIt has what the {checkpoints} signed checkpoints vouch for.");
    }
    let broken = report.broken.clone();
    let verified = Verified { whole: broken.is_none(), checkpoints, report };
    match broken {
        None => env.printer.data(&verified, text),
        Some(broken) => {
            env.printer.data(&verified, "")?;
            Err(Error::failed(format!("the audit log is broken: {broken}"))
                .hint("keep the store as it is, as evidence: copy .stead away before anything else writes to it")
                .hint("`stead restore BACKUP DIR` puts an earlier log beside it, to compare"))
        }
    }
}
