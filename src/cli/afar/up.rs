//! `stead up` through a control plane: the files are published there, and its workers make the nodes.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{give, known, publish, side_by_side, suspended};
use crate::Result;
use crate::api::views::{WorkflowView, WorkspaceView};
use crate::cli::env::Env;
use crate::cli::follow::follow;
use crate::cli::outdated::Declared;
use crate::cli::up::{Up, check_files, images_to_build, none_declared, summary, tell_outdated, tell_suspended};
use crate::cli::work::conclude;
use crate::cli::{image, missing};
use crate::client::Client;
use crate::id::RevisionId;
use crate::secrets::vault::Vault;
use crate::store::WorkflowState;

/// How many workspaces one request takes.
const MOST: usize = 500;

#[derive(Serialize)]
struct Asked<'a> {
    workspaces: &'a [String],
    revision: RevisionId,
}

#[derive(Deserialize)]
struct Begun {
    workspaces: Vec<Brought>,
}

#[derive(Deserialize)]
struct Brought {
    workspace: WorkspaceView,
    workflows: Vec<WorkflowView>,
}

/// Brings the workspaces up, and waits until each is healthy.
pub(in crate::cli) async fn up(env: &Env, client: &Client, names: &[String], begun: Instant) -> Result<()> {
    let mut place = env.place()?;
    let mut slugs = place.select(names)?;
    if slugs.is_empty() {
        return Err(none_declared());
    }
    let known = known(client).await?;
    slugs.retain(|slug| match known.get(slug).and_then(suspended) {
        Some((because, _)) => {
            tell_suspended(env, slug, &because);
            false
        }
        None => true,
    });
    if slugs.is_empty() {
        return env.printer.data(&Vec::<Up>::new(), "");
    }
    let has_node = |slug: &String| known.get(slug).is_some_and(|workspace| workspace.node.is_some());
    let is_made = |slug: &String| place.desired.fleet.workspace(slug).is_some_and(|found| found.machine.is_none());
    let bare: Vec<String> = slugs.iter().filter(|slug| !has_node(slug) && is_made(slug)).cloned().collect();
    check_files(env, &place, &slugs)?;
    let vault = Vault::open(&place.dir)?;
    let (entries, mut unknown) = (vault.list()?, Vec::new());
    for slug in &slugs {
        let id = known.get(slug).map(|workspace| workspace.id);
        let names = give::wanting(client, &place, slug, id).await?;
        unknown.extend(give::unknown(&entries, slug, &names));
    }
    if !unknown.is_empty() {
        return Err(missing::error(&unknown));
    }
    let images = images_to_build(&place, &bare);
    for (disk, of_a_kind) in [(false, &images.roots), (true, &images.disks)] {
        image::lock::ensure(env, &mut place, of_a_kind.iter().map(String::as_str), disk).await?;
    }
    let revision = publish::publish(env, client, &place).await?.id;
    let mut brought = Vec::new();
    for slugs in slugs.chunks(MOST) {
        let begun: Begun = client.create("/v1/fleet/up", &Asked { workspaces: slugs, revision }).await?;
        brought.extend(begun.workspaces);
    }
    let watching = side_by_side(brought.iter().map(|brought| watch(env, client, brought)));
    let ended = tokio::select! {
        ended = watching => ended,
        failed = give::give(client, &place, &vault, &slugs) => match failed? {},
    };
    conclude(
        &env.printer,
        format_args!("{} workspaces", slugs.len()),
        ended.into_iter().filter_map(Result::err).collect(),
    )?;

    let known = super::known(client).await?;
    let (mut rows, mut declared) = (Vec::new(), Declared::new(env, &place.desired));
    for slug in &slugs {
        let Some(node) = known.get(slug).and_then(|workspace| workspace.node.as_ref()) else { continue };
        tell_outdated(env, &mut declared, slug, &node.into());
        rows.push(Up::of(slug, node));
    }
    summary(env, &rows, begun.elapsed())
}

/// Watches what was begun for a workspace, one after the other.
async fn watch(env: &Env, client: &Client, brought: &Brought) -> Result<()> {
    for workflow in &brought.workflows {
        if workflow.state == WorkflowState::Parked.as_str() {
            // Here, too, the same command goes on where an earlier one had to stop.
            let path = format!("/v1/workflows/{}/retry", workflow.id);
            client.act::<WorkflowView>(reqwest::Method::POST, &path).await?;
        }
        follow(env, client, &brought.workspace.slug, workflow.id).await?;
    }
    Ok(())
}
