//! `stead status`: what there is.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

use super::env::Env;
use super::outdated::Outdated;
use super::overview::{self, Overview, Playbooks, Unfinished, WorkspaceRow};
use super::plane::Plane;
use super::printer::table;
use super::text::{places, short};
use crate::Result;
use crate::store::{ManagedBy, WorkflowState};

/// Shows workspaces, their nodes, and what is missing or unfinished
///
/// A node is shown as it is: one whose machine does not run is `stopped`, whatever its record says. Needs no root, and
/// can be used while another command changes the fleet.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Look again every two seconds, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
}

const EVERY: Duration = Duration::from_secs(2);
/// Cursor to the corner, and everything below it cleared (ECMA-48: CUP, ED).
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Runs the command.
///
/// # Errors
/// Fails where the fleet's files or its store cannot be read.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    if !args.watch {
        return show(env, "").await;
    }
    let clear = if std::io::stdout().is_terminal() && !env.printer.json { CLEAR } else { "" };
    // Heard from the first round on: a server that does not answer must not keep anybody here.
    let stop = tokio::signal::ctrl_c();
    tokio::pin!(stop);
    loop {
        let round = async {
            show(env, clear).await?;
            tokio::time::sleep(EVERY).await;
            Ok::<_, crate::Error>(())
        };
        tokio::select! {
            round = round => round?,
            _ = &mut stop => return Ok(()),
        }
    }
}

async fn show(env: &Env, clear: &str) -> Result<()> {
    let overview = match env.plane().await? {
        Plane::Here { place, store } => {
            let warn = |error: crate::Error| env.printer.warn(error.one_line());
            let overview = overview::look(env, &place, &store, &warn).await?;
            store.close().await;
            overview
        }
        Plane::There(client) => overview::look_from_afar(client).await?,
    };
    env.printer.data(&overview, format_args!("{clear}{}", text(&overview)))
}

fn text(overview: &Overview) -> String {
    let mut text = format!("Fleet {} ({})\n\n", overview.fleet, overview.id);
    if overview.workspaces.is_empty() {
        text += "No workspaces are declared.\n";
    } else {
        let rows: Vec<Vec<String>> = overview.workspaces.iter().map(cells).collect();
        text += &table(&["WORKSPACE", "TIER", "NODE", "ADDRESSES", "IMAGE", "PLAYBOOKS"], &rows);
    }
    notes(overview).iter().fold(text, |mut text, note| {
        let _ = write!(text, "\n{note}");
        text
    })
}

fn cells(row: &WorkspaceRow) -> Vec<String> {
    let node = row.node.as_ref();
    let addresses = node.map(|node| places(&node.addresses, node.ssh_port));
    let image = node.and_then(|node| node.image.as_deref());
    vec![
        row.slug.clone(),
        row.tier.clone(),
        row.word().unwrap_or("-").to_owned(),
        addresses.filter(|addresses| !addresses.is_empty()).unwrap_or_else(|| "-".into()),
        image.map_or("-", short).to_owned(),
        node.map_or("-", |node| word(node.playbooks)).to_owned(),
    ]
}

fn word(playbooks: Playbooks) -> &'static str {
    match playbooks {
        Playbooks::Converged => "converged",
        Playbooks::Changed => "changed",
        Playbooks::Never => "never applied",
        Playbooks::Unknown => "unknown",
    }
}

/// What deserves a word: each with the command that deals with it.
fn notes(overview: &Overview) -> Vec<String> {
    let mut notes = Vec::new();
    let named = |wanted: &dyn Fn(&WorkspaceRow) -> bool| {
        let slugs: Vec<_> = overview.workspaces.iter().filter(|row| wanted(row)).map(|row| row.slug.as_str()).collect();
        (!slugs.is_empty()).then(|| slugs.join(" "))
    };
    let is = |row: &WorkspaceRow, word: &str| row.word() == Some(word);
    if let Some(slugs) = named(&|row| is(row, "stopped")) {
        notes.push(format!("Not running: {slugs}. `stead up {slugs}` starts what is stopped."));
    }
    for row in overview.workspaces.iter().filter(|row| row.is_suspended()) {
        let reason = row.suspension.as_ref().and_then(|suspension| suspension.reason.as_deref());
        let because = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        notes.push(format!("Suspended: {0}{because}. `stead workspace resume {0}` starts it.", row.slug));
    }
    if let Some(slugs) = named(&|row| is(row, "missing")) {
        notes.push(format!(
            "The machine is gone, though nobody took it down: {slugs}. `stead down {slugs}` clears the record."
        ));
    }
    if let Some(slugs) =
        named(&|row| row.node.as_ref().is_some_and(|node| node.playbooks == Playbooks::Changed) && !row.is_suspended())
    {
        notes.push(format!(
            "Playbooks, variables or secrets' names have changed: {slugs}. `stead up {slugs}` applies them."
        ));
    }
    for part in Outdated::ALL {
        let differs = |row: &WorkspaceRow| row.node.as_ref().is_some_and(|node| node.outdated.contains(&part));
        if let Some(slugs) = named(&differs) {
            notes.push(format!(
                "The {} changed: {slugs}. A node keeps its own until it is made anew: `stead node rebuild WORKSPACE`.",
                part.word()
            ));
        }
    }
    if let Some(slugs) = named(&|row| !row.declared && row.managed_by.as_deref() != Some(ManagedBy::Api.as_str())) {
        notes.push(format!("Not declared in the fleet's files any more: {slugs}. `stead down {slugs}` takes it away."));
    }
    let rebuilt = |row: &WorkspaceRow| {
        let of =
            |unfinished: &Unfinished| unfinished.workspace.as_ref() == Some(&row.slug) && unfinished.kind == "rebuild";
        overview.workflows.iter().any(of)
    };
    if let Some(slugs) = named(&|row| !row.beside.is_empty() && !rebuilt(row)) {
        notes.push(format!(
            "An abandoned rebuild has left a node beside the one that serves: {slugs}. `stead node sweep --fix` takes it away."
        ));
    }
    for row in &overview.workspaces {
        for name in &row.secrets_missing {
            notes.push(format!(
                "No value for the secret {name}: `stead secret set {} {name}` takes it on stdin.",
                row.slug
            ));
        }
    }
    for workflow in &overview.workflows {
        let about = workflow.workspace.as_deref().map(|slug| format!(" of {slug}")).unwrap_or_default();
        let head = format!("The {}{about} is {} ({})", workflow.kind, workflow.state, workflow.id);
        notes.push(match (workflow.state == WorkflowState::Parked.as_str(), &workflow.error) {
            (true, error) => {
                let error = error.as_deref().and_then(|error| error.lines().next()).unwrap_or("no reason is recorded");
                format!("{head}: {error}. `stead workflow show {}` tells more.", workflow.id)
            }
            _ if overview.in_use_by.is_some() || overview.has_workers => format!("{head}."),
            _ => format!("{head}, and nobody works on it: `stead workflow retry {}` goes on with it.", workflow.id),
        });
    }
    if let Some(holder) = &overview.in_use_by {
        notes.push(format!("In use by {holder} right now."));
    }
    if overview.sizes_enforced == Some(false) {
        notes.push("This host lacks the memory and CPU controllers: it does not hold nodes to their sizes.".into());
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::views::SuspensionView;
    use crate::cli::overview::{NodeRow, Seen};
    use crate::id::{FleetId, NodeId, WorkflowId};
    use crate::store::NodeState;

    fn row(slug: &str, recorded: NodeState, machine: Seen, playbooks: Playbooks) -> WorkspaceRow {
        WorkspaceRow {
            slug: slug.into(),
            tier: "starter".into(),
            declared: true,
            managed_by: Some("files".to_owned()),
            state: Some("ready".into()),
            node: Some(NodeRow {
                id: NodeId::new(),
                recorded: recorded.to_string(),
                machine,
                addresses: vec!["10.90.0.10".parse().unwrap()],
                ssh_port: 22,
                image: Some("0123456789abcdef0123".into()),
                playbooks,
                outdated: if slug == "dead" { vec![Outdated::Image] } else { vec![] },
                agent_version: None,
                updated_at: Default::default(),
            }),
            beside: if slug == "dead" { vec![NodeId::new()] } else { vec![] },
            secrets_missing: vec![],
            suspension: None,
        }
    }

    #[test]
    fn what_is_shown_is_what_is() {
        let workflow = Unfinished {
            id: WorkflowId::new(),
            kind: "provision".into(),
            workspace: Some("gone".into()),
            state: WorkflowState::Parked.to_string(),
            error: Some("the host is on fire\nhint: run".into()),
        };
        let overview = Overview {
            fleet: "demo".into(),
            id: FleetId::mint(),
            workspaces: vec![
                row("well", NodeState::Ready, Seen::Running, Playbooks::Converged),
                row("dead", NodeState::Ready, Seen::Stopped, Playbooks::Changed),
                row("gone", NodeState::Ready, Seen::Missing, Playbooks::Never),
                row("new", NodeState::Creating, Seen::Missing, Playbooks::Never),
                WorkspaceRow {
                    state: Some("suspended".into()),
                    suspension: Some(SuspensionView {
                        by: "operator".into(),
                        reason: Some("unpaid since May".into()),
                        since: Default::default(),
                    }),
                    ..row("idle", NodeState::Stopped, Seen::Stopped, Playbooks::Changed)
                },
                WorkspaceRow {
                    node: None,
                    secrets_missing: vec!["API_KEY".into()],
                    ..row("none", NodeState::Ready, Seen::Unknown, Playbooks::Never)
                },
            ],
            workflows: vec![workflow],
            sizes_enforced: Some(false),
            in_use_by: None,
            has_workers: false,
        };
        let text = anstream::adapter::strip_str(&text(&overview)).to_string();
        let text =
            text.replace(overview.id.as_str(), "FLEET").replace(&overview.workflows[0].id.to_string(), "WORKFLOW");
        insta::assert_snapshot!(text);
    }
}
