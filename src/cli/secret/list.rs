//! `stead secret list`: names, and where their values are.

use std::collections::BTreeSet;

use serde::Serialize;

use super::afar;
use crate::Result;
use crate::cli::env::Env;
use crate::cli::printer::table;
use crate::cli::text::time;
use crate::client::Client;
use crate::clock::Timestamp;
use crate::secrets::vault::Vault;
use crate::store::{Listed, SecretState};

/// Lists secrets by name: those that are declared, in the vault, or on a node
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this workspace's
    workspace: Option<String>,
}

#[derive(Serialize)]
struct Row {
    workspace: String,
    name: String,
    /// Whether the fleet's files declare it.
    declared: bool,
    /// Whether the operators' vault holds a value.
    in_vault: bool,
    /// `delivered`, `vault` (waits for its node), or `missing`.
    state: String,
    version: Option<u64>,
    /// Of what the node holds.
    fingerprint: Option<String>,
    masked_tail: Option<String>,
    delivered_at: Option<Timestamp>,
}

/// Runs the command.
///
/// # Errors
/// Fails where nothing declares the workspace, or vault or store cannot be read.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let rows = match env.remote()? {
        Some(client) => rows_there(args, &client).await?,
        None => rows_here(args, env).await?,
    };
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    if rows.is_empty() {
        env.printer.say("No secrets are declared. A workspace names its own: `secrets: [OPENAI_API_KEY]`.");
        return env.printer.data(&rows, "");
    }
    env.printer
        .data(&rows, table(&["WORKSPACE", "NAME", "STATE", "VERSION", "FINGERPRINT", "ENDS IN", "DELIVERED"], &cells))
}

async fn rows_there(args: &Args, client: &Client) -> Result<Vec<Row>> {
    let workspaces = match &args.workspace {
        Some(slug) => vec![afar::there(client).named(slug).await?],
        None => afar::there(client).workspaces().await?,
    };
    let mut rows = Vec::new();
    for workspace in workspaces {
        for secret in afar::list(client, &workspace).await? {
            let is_delivered = secret.state == SecretState::Delivered.as_str();
            rows.push(Row {
                workspace: workspace.slug.clone(),
                // Secrets that come through the API are declared by being given.
                declared: true,
                in_vault: false,
                state: secret.state,
                name: secret.name,
                version: Some(secret.version),
                fingerprint: Some(secret.fingerprint).filter(|_| is_delivered),
                masked_tail: secret.masked_tail.filter(|_| is_delivered),
                delivered_at: secret.delivered_at,
            });
        }
    }
    Ok(rows)
}

async fn rows_here(args: &Args, env: &Env) -> Result<Vec<Row>> {
    let place = env.place()?;
    let store = env.store(&place).await?;
    let mut reader = store.read().await?;
    let recorded = reader.workspaces(Listed::Live).await?;
    if let Some(wanted) = &args.workspace
        && !recorded.iter().any(|workspace| workspace.slug == *wanted)
    {
        place.select(std::slice::from_ref(wanted))?;
    }
    let vault = Vault::open(&place.dir)?.list()?;
    let declared = &place.desired.fleet.workspaces;
    let all: BTreeSet<&str> = declared
        .keys()
        .chain(recorded.iter().map(|workspace| &workspace.slug))
        .chain(vault.iter().map(|entry| &entry.workspace))
        .map(String::as_str)
        .filter(|slug| args.workspace.as_deref().is_none_or(|wanted| wanted == *slug))
        .collect();
    let mut rows = Vec::new();
    for slug in all {
        let records = match recorded.iter().find(|workspace| workspace.slug == slug) {
            Some(workspace) => reader.secrets(workspace.id).await?,
            None => Vec::new(),
        };
        let named = declared.get(slug).map(|workspace| workspace.secrets.as_slice()).unwrap_or_default();
        let waiting = || vault.iter().filter(|entry| entry.workspace == slug).map(|entry| &entry.name);
        let names: BTreeSet<&String> =
            named.iter().chain(waiting()).chain(records.iter().map(|record| &record.name)).collect();
        for name in names {
            let record = records.iter().find(|record| record.name == *name);
            let held = record.filter(|record| record.state == SecretState::Delivered);
            let in_vault = waiting().any(|waiting| waiting == name);
            if held.is_none() && !in_vault && !named.contains(name) {
                // Its record is kept for its version only: the value was taken away.
                continue;
            }
            rows.push(Row {
                workspace: slug.to_owned(),
                name: name.clone(),
                declared: named.contains(name),
                in_vault,
                state: match (held, in_vault) {
                    (Some(_), _) => SecretState::Delivered.as_str(),
                    (None, true) => SecretState::Vault.as_str(),
                    (None, false) => "missing",
                }
                .to_owned(),
                version: record.map(|record| record.version),
                fingerprint: held.map(|record| record.fingerprint.clone()),
                masked_tail: held.and_then(|record| record.masked_tail.clone()),
                delivered_at: held.and_then(|record| record.delivered_at),
            });
        }
    }
    Ok(rows)
}

fn cells(row: &Row) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let state = if row.declared { row.state.clone() } else { format!("{} (not declared)", row.state) };
    vec![
        row.workspace.clone(),
        row.name.clone(),
        state,
        or_dash(row.version.map(|version| version.to_string())),
        or_dash(row.fingerprint.clone()),
        or_dash(row.masked_tail.as_ref().map(|tail| format!("…{tail}"))),
        or_dash(row.delivered_at.map(time)),
    ]
}
