//! `stead up`: the main job.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::env::{Env, Held, Place};
use super::missing::{self, missing};
use super::mistakes;
use super::outdated::{Declared, Made, Outdated};
use super::printer::{GOOD, table};
use super::publish::{publish, reconcile};
use super::text::places;
use super::work::Work;
use super::{afar, image};
use crate::api::views::NodeView;
use crate::fleet::ProviderKind;
use crate::provider::local;
use crate::secrets::vault::Vault;
use crate::store::{Workspace, WorkspaceState};
use crate::workflow::flows::{self, Choice, converge, deprovision, provision, rebuild, resume, suspend};
use crate::{Error, Result};

/// Brings up every declared workspace's node, or the named ones, and waits until each is healthy
///
/// Builds the images that are missing, creates, bootstraps and converges the nodes, and prints how to reach them. What
/// is up and healthy already is left as it is; what an earlier run left unfinished is gone on with.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Workspaces [default: all that are declared]
    #[arg(value_name = "WORKSPACE")]
    workspaces: Vec<String>,
}

/// A node that is up.
#[derive(Serialize)]
pub(super) struct Up {
    workspace: String,
    node: String,
    state: String,
    addresses: Vec<IpAddr>,
    ssh_port: u16,
    image: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Fails where any workspace's node does not become healthy.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let begun = Instant::now();
    if let Some(client) = env.remote()? {
        return afar::up::up(env, &client, &args.workspaces, begun).await;
    }
    let mut held = env.hold("stead up").await?;
    let slugs = held.place.select(&args.workspaces)?;
    if slugs.is_empty() {
        return Err(none_declared());
    }
    let slugs = awake(env, &held, slugs).await?;
    if slugs.is_empty() {
        return env.printer.data(&Vec::<Up>::new(), "");
    }
    let bare = without_node(&held, &slugs).await?;
    check_host(env, &held, &slugs, &bare)?;
    check_files(env, &held.place, &slugs)?;
    check_secrets(&held, &slugs).await?;
    let images = images_to_build(&held.place, &bare);
    for (disk, of_a_kind) in [(false, &images.roots), (true, &images.disks)] {
        image::lock::ensure(env, &mut held.place, of_a_kind.iter().map(String::as_str), disk).await?;
    }
    let images: BTreeSet<_> = images.roots.into_iter().chain(images.disks).collect();
    for image in &images {
        // Also what is no mistake of the files': the programs for nodes that were not built.
        flows::image::inputs(&env.config, &held.place.desired, image)?;
    }
    let revision = publish(env, &held).await?;
    let workspaces = reconcile(env, &held, &slugs, revision.id).await?;

    let work = Work::new(env, &held)?;
    for kind in [deprovision::KIND, rebuild::KIND, suspend::KIND, resume::KIND] {
        finish(&work, &workspaces, kind).await?;
    }
    let left = awake(env, &held, slugs).await?;
    let workspaces: Vec<_> = workspaces.into_iter().filter(|workspace| left.contains(&workspace.slug)).collect();
    let mut workflows = Vec::new();
    let mut behind = Vec::new();
    for workspace in &workspaces {
        let unfinished = work.live(provision::KIND, workspace).await?;
        let node = held.store.read().await?.node_of(workspace.id).await?;
        // An earlier one applies what is not declared any more, and what has been mended since may stop it for ever.
        work.close_converge(workspace, "a newer `stead up` came").await?;
        let kind = if node.is_some() && unfinished.is_none() { converge::KIND } else { provision::KIND };
        workflows.push((workspace.slug.clone(), work.enqueue(kind, workspace, Some(revision.id)).await?));
        // What an earlier run began goes on with what was declared then.
        if unfinished.is_some_and(|unfinished| unfinished.revision_id != Some(revision.id)) {
            behind.push(workspace);
        }
    }
    work.run(workflows).await?;
    let mut workflows = Vec::new();
    for workspace in behind {
        workflows.push((workspace.slug.clone(), work.enqueue(converge::KIND, workspace, Some(revision.id)).await?));
    }
    work.run(workflows).await?;
    let (mut rows, mut declared) = (Vec::new(), Declared::new(env, &held.place.desired));
    for workspace in &workspaces {
        let Some(node) = held.store.read().await?.node_of(workspace.id).await? else { continue };
        tell_outdated(env, &mut declared, &workspace.slug, &(&node).into());
        rows.push(Up::of(&workspace.slug, &node.into()));
    }
    summary(env, &rows, begun.elapsed())
}

pub(super) fn none_declared() -> Error {
    Error::input("the fleet declares no workspaces").hint("add one under `workspaces` in stead.yaml")
}

/// Those of the workspaces that are not suspended; the others are named.
async fn awake(env: &Env, held: &Held, slugs: Vec<String>) -> Result<Vec<String>> {
    let mut awake = Vec::new();
    let mut reader = held.store.read().await?;
    for slug in slugs {
        let workspace = reader.workspace_by_slug(&slug).await?;
        match workspace.filter(|workspace| workspace.state == WorkspaceState::Suspended) {
            Some(workspace) => tell_suspended(env, &slug, &suspend::because(&workspace)),
            None => awake.push(slug),
        }
    }
    Ok(awake)
}

/// Says that a workspace is left out.
pub(super) fn tell_suspended(env: &Env, slug: &str, because: &str) {
    env.printer.say(format_args!(
        "{slug} is suspended{because}. It is left as it is; `stead workspace resume {slug}` starts it."
    ));
}

/// Those of the workspaces that have no node yet, and whose machine is not brought.
async fn without_node(held: &Held, slugs: &[String]) -> Result<Vec<String>> {
    let fleet = &held.place.desired.fleet;
    let mut bare = Vec::new();
    let mut reader = held.store.read().await?;
    for slug in slugs {
        let made = fleet.workspace(slug).is_some_and(|workspace| workspace.machine.is_none());
        let recorded = reader.workspace_by_slug(slug).await?.map(|workspace| workspace.id);
        let node = match recorded {
            Some(id) => reader.node_of(id).await?,
            None => None,
        };
        if made && node.is_none() {
            bare.push(slug.clone());
        }
    }
    Ok(bare)
}

/// The names of the images whose roots, and of those whose disks, nodes will be made of.
pub(super) struct Images {
    pub(super) roots: BTreeSet<String>,
    pub(super) disks: BTreeSet<String>,
}

/// The images that new nodes will be made of, as they are defined now. What a channel names is built already.
pub(super) fn images_to_build(place: &Place, bare: &[String]) -> Images {
    let desired = &place.desired;
    let mut images = Images { roots: BTreeSet::new(), disks: BTreeSet::new() };
    for (workspace, tier) in bare.iter().filter_map(|slug| desired.workspace(slug).ok()) {
        if let Some(image) = tier.image.as_ref().filter(|image| image.channel.is_none()) {
            let vm = flows::image::is_vm(desired, workspace, tier);
            if vm { &mut images.disks } else { &mut images.roots }.insert(image.name.clone());
        }
    }
    images
}

/// Compiles what these workspaces' nodes and images are made of.
pub(super) fn check_files(env: &Env, place: &Place, slugs: &[String]) -> Result<()> {
    let desired = &place.desired;
    // A machine that people bring comes with a system of its own.
    let made = slugs.iter().filter_map(|slug| desired.fleet.workspace(slug).filter(|made| made.machine.is_none()));
    let tiers = made.filter_map(|workspace| desired.fleet.tier(workspace));
    mistakes::look(&env.printer, desired, slugs, &Choice::default(), tiers).map(drop)
}

/// Says that a node is not made anew, where what it was made of has changed.
pub(super) fn tell_outdated(env: &Env, declared: &mut Declared<'_>, slug: &str, made: &Made<'_>) {
    let outdated = declared.of(slug, made, &|error| env.printer.warn(error.one_line()));
    if !outdated.is_empty() {
        let parts = outdated.into_iter().map(Outdated::word).collect::<Vec<_>>().join(" and ");
        env.printer.warn(format_args!(
            "{slug}: the {parts} declared for it changed; its node keeps what it was made with until it is made \
             anew: `stead node rebuild {slug}`"
        ));
    }
}

/// Finds out before anything is begun what would stop it. `bare` are those who get a node.
pub(super) fn check_host(env: &Env, held: &Held, slugs: &[String], bare: &[String]) -> Result<()> {
    let desired = &held.place.desired;
    let mut instead = Vec::new();
    for slug in slugs {
        let Ok((workspace, tier)) = desired.workspace(slug) else { continue };
        if desired.drivable(slug)? == ProviderKind::Ssh {
            continue;
        }
        if !bare.contains(slug) {
            continue;
        }
        if flows::image::is_vm(desired, workspace, tier) {
            flows::image::check_vm(desired, tier)?;
            match (tier.vm, local::cannot_contain()) {
                (false, Some(reason)) => {
                    let explain = |error: Error| error.context(reason).hint("run as root, nodes are containers");
                    local::check_vms().map_err(explain)?;
                    instead.push(slug.as_str());
                }
                _ => local::check_vms()?,
            }
        } else {
            local::check_containers()?;
        }
    }
    if let Some(reason) = local::cannot_contain().filter(|_| !instead.is_empty()) {
        env.printer.warn(format_args!(
            "{reason}: instead, QEMU boots the image's disk for {}; without KVM that takes minutes",
            instead.join(", ")
        ));
    }
    Ok(())
}

/// Every declared secret must have a value before a machine is made for it.
pub(super) async fn check_secrets(held: &Held, slugs: &[String]) -> Result<()> {
    let waiting = Vault::open(&held.place.dir)?.list()?;
    let mut reader = held.store.read().await?;
    let mut all = Vec::new();
    for slug in slugs {
        let workspace = reader.workspace_by_slug(slug).await?.map(|workspace| workspace.id);
        let names = missing(&held.place, &waiting, &mut reader, slug, workspace).await?;
        all.extend(names.into_iter().map(|name| (slug.clone(), name)));
    }
    if all.is_empty() { Ok(()) } else { Err(missing::error(&all)) }
}

/// A `down` that was interrupted is finished before its node is made anew, and a rebuild before anything is done to the node.
async fn finish(work: &Work, workspaces: &[Workspace], kind: &str) -> Result<()> {
    let mut unfinished = Vec::new();
    for workspace in workspaces {
        if let Some(live) = work.live(kind, workspace).await? {
            work.enqueue(kind, workspace, live.revision_id).await?;
            unfinished.push((workspace.slug.clone(), live.id));
        }
    }
    work.run(unfinished).await
}

impl Up {
    /// The line of a workspace with this node.
    pub(super) fn of(slug: &str, node: &NodeView) -> Self {
        Self {
            workspace: slug.to_owned(),
            node: node.id.to_string(),
            state: node.state.clone(),
            addresses: node.addresses.clone(),
            ssh_port: node.ssh_port,
            image: node.image.clone(),
        }
    }
}

pub(super) fn summary(env: &Env, rows: &[Up], took: Duration) -> Result<()> {
    let seconds = took.as_secs_f64();
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![row.workspace.clone(), row.state.clone(), places(&row.addresses, row.ssh_port), row.node.clone()]
        })
        .collect();
    env.printer.say(format_args!("\n{GOOD}{} healthy{GOOD:#} in {seconds:.1} s\n", count(rows.len())));
    env.printer.data(rows, table(&["WORKSPACE", "STATE", "ADDRESSES", "NODE"], &cells))?;
    let program = std::env::args().next().unwrap_or_else(|| "stead".into());
    let fleet = env.global.fleet.as_ref().map(|dir| format!(" --fleet {dir}")).unwrap_or_default();
    env.printer.say(format_args!("\nNext: {program}{fleet} status\n      {program}{fleet} down --yes"));
    Ok(())
}

fn count(nodes: usize) -> String {
    if nodes == 1 { "1 node is".into() } else { format!("{nodes} nodes are") }
}
