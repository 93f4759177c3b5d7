//! `stead node`: the machines.

use serde::Serialize;

use super::env::{Env, Place};
use super::known_hosts;
use super::overview::{self, Seen};
use super::plane::Plane;
use super::printer::table;
use super::text::{places, short, time};
use crate::api::views::NodeView;
use crate::provider;
use crate::store::{Listed, Node as Record, Store};
use crate::workflow::flows;
use crate::{Error, Result};

/// Shows nodes and what their consoles say, and renews them
#[derive(Debug, clap::Subcommand)]
pub(super) enum Node {
    List(ListArgs),
    Show(ShowArgs),
    Logs(LogsArgs),
    Sweep(super::node_sweep::Args),
    RotateIdentity(super::node_rotate_identity::Args),
    Rebuild(super::node_rebuild::Args),
}

/// Lists the nodes
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {}

/// Shows all that is recorded of a workspace's node, and what its provider sees
#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// The workspace
    workspace: String,
}

/// Prints the last lines of the console of a workspace's node
#[derive(Debug, clap::Args)]
pub(super) struct LogsArgs {
    /// The workspace
    workspace: String,
    /// How many lines
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    lines: usize,
}

/// Runs the command.
///
/// # Errors
/// Fails where a workspace has no node, or its provider cannot be asked.
pub(super) async fn run(command: &Node, env: &Env) -> Result<()> {
    let read = async || {
        let place = env.place()?;
        let store = env.store(&place).await?;
        Ok::<_, Error>((place, store))
    };
    match command {
        Node::List(ListArgs {}) => list(env).await,
        Node::Show(args) => show(args, env).await,
        Node::Logs(args) => {
            env.refuse_remote("`stead node logs`")?;
            let (place, store) = read().await?;
            logs(args, env, &place, &store).await
        }
        // It may be about a store that no files belong to.
        Node::Sweep(args) => super::node_sweep::run(args, env).await,
        Node::RotateIdentity(args) => super::node_rotate_identity::run(args, env).await,
        Node::Rebuild(args) => super::node_rebuild::run(args, env).await,
    }
}

#[derive(Serialize)]
struct Shown {
    workspace: String,
    /// What the provider sees.
    machine: Seen,
    #[serde(flatten)]
    node: NodeView,
}

async fn list(env: &Env) -> Result<()> {
    let plane = env.plane().await?;
    let mut rows = Vec::new();
    for workspace in plane.workspaces().await? {
        if let Some(node) = workspace.node {
            rows.push(Shown { workspace: workspace.slug, machine: plane.seen(env, &node).await?, node });
        }
    }
    rows.sort_by_key(|row| row.node.id);
    if rows.is_empty() {
        env.printer.say("There are no nodes. `stead up` makes them.");
        return env.printer.data(&rows, "");
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.node.id.to_string(),
                row.workspace.clone(),
                row.node.provider.clone(),
                row.node.state.clone(),
                word(row.machine).into(),
                places(&row.node.addresses, row.node.ssh_port),
                row.node.image.as_deref().map_or("-", short).into(),
            ]
        })
        .collect();
    env.printer
        .data(&rows, table(&["NODE", "WORKSPACE", "PROVIDER", "RECORDED", "MACHINE", "ADDRESSES", "IMAGE"], &cells))
}

async fn show(args: &ShowArgs, env: &Env) -> Result<()> {
    let plane = env.plane().await?;
    let workspace = plane.workspace(&args.workspace).await?;
    if let (None, Plane::Here { place, .. }) = (&workspace, &plane) {
        place.select(std::slice::from_ref(&args.workspace))?;
    }
    let node = workspace.and_then(|workspace| workspace.node).ok_or_else(|| no_node(&args.workspace))?;
    let row = Shown { workspace: args.workspace.clone(), machine: plane.seen(env, &node).await?, node };
    let node = &row.node;
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".into());
    let lines = [
        ("node", node.id.to_string()),
        ("workspace", row.workspace.clone()),
        ("mark", node.mark.to_string()),
        ("provider", format!("{} ({})", node.provider, node.kind)),
        ("recorded", node.state.clone()),
        ("role", node.role.clone()),
        ("machine", word(row.machine).into()),
        ("addresses", node.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
        ("ssh", format!("user {}, port {}", node.user, node.ssh_port)),
        ("host key", or_none(&node.host_key)),
        ("verified", if node.verified { "yes" } else { "no: no secret goes to it" }.into()),
        ("image", or_none(&node.image)),
        ("playbooks", or_none(&node.playbook_digest)),
        ("agent", or_none(&node.agent_version)),
        ("made", format!("{} UTC", time(node.created_at))),
        ("changed", format!("{} UTC", time(node.updated_at))),
    ];
    let text: String = lines.iter().map(|(name, value)| format!("{name:<10} {value}\n")).collect();
    env.printer.data(&row, text)
}

async fn logs(args: &LogsArgs, env: &Env, place: &Place, store: &Store) -> Result<()> {
    let node = node_of(place, store, &args.workspace).await?;
    if flows::is_brought(&node) {
        return Err(Error::input(format!("the machine of {:?} was brought, and has no console here", args.workspace))
            .hint("look at its journal: `journalctl -b` there"));
    }
    let provider = provider::of_kind(&node.kind, &place.desired.fleet.id, &place.dir, &env.config)?;
    let console = provider.console(&node.mark, args.lines).await?.ok_or_else(|| {
        Error::failed(format!("there is no console log of the node of {:?}", args.workspace))
            .hint(format!("`stead node show {}` tells whether its machine is there", args.workspace))
    })?;
    env.printer
        .data(&serde_json::json!({"workspace": args.workspace, "node": node.id, "console": console}), &console)?;
    if overview::seen(env, place, &node.kind, &node.mark).await? == Seen::Running
        && let Some(address) = node.addresses.first()
    {
        // A hint without the node's key would teach people to say yes to a key that nobody has checked.
        let known = known_hosts::write(&place.dir, &store.read().await?.nodes(Listed::Live).await?)?;
        let port = if node.ssh_port == 22 { String::new() } else { format!("-p {} ", node.ssh_port) };
        env.printer.say(format_args!(
            "\nThe node runs. Its journal tells more:\n  ssh -i {}/.stead/keys/fleet_ssh -o IdentitiesOnly=yes \
             -o UserKnownHostsFile={known} -o StrictHostKeyChecking=yes {port}{}@{address} sudo journalctl -b",
            place.dir, node.user
        ));
    }
    Ok(())
}

/// The node of a workspace, by its slug.
async fn node_of(place: &Place, store: &Store, slug: &str) -> Result<Record> {
    let mut reader = store.read().await?;
    let node = match reader.workspace_by_slug(slug).await? {
        Some(workspace) => reader.node_of(workspace.id).await?,
        None => {
            place.select(&[slug.to_owned()])?;
            None
        }
    };
    node.ok_or_else(|| no_node(slug))
}

fn no_node(slug: &str) -> Error {
    Error::input(format!("workspace {slug:?} has no node")).hint(format!("`stead up {slug}` makes one"))
}

fn word(seen: Seen) -> &'static str {
    match seen {
        Seen::Running => "running",
        Seen::Stopped => "stopped",
        Seen::Missing => "missing",
        Seen::Unknown => "unknown",
    }
}
