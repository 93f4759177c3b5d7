//! `stead down` through a control plane.

use std::time::Instant;

use super::{known, side_by_side};
use crate::api::views::WorkspaceView;
use crate::cli::down::{Args, confirm, nothing, told};
use crate::cli::env::Env;
use crate::cli::follow::{Begun, follow};
use crate::cli::work::conclude;
use crate::client::Client;
use crate::fleet::ProviderKind;
use crate::store::{ManagedBy, WorkspaceState};
use crate::{Error, Result};

/// Wipes and destroys the nodes, and waits until they are gone.
pub(in crate::cli) async fn down(env: &Env, client: &Client, args: &Args, begun: Instant) -> Result<()> {
    let known = known(client).await?;
    let unknown: Vec<String> = args.workspaces.iter().filter(|slug| !known.contains_key(*slug)).cloned().collect();
    env.place()?.select(&unknown)?;
    let undeclared = |slug: &&String| known.get(*slug).is_some_and(|found| !is_declared(found));
    if let Some(slug) = args.workspaces.iter().find(undeclared) {
        return Err(Error::input(format!(
            "no file declares the workspace {slug:?}, so nothing would bring it up again"
        ))
        .hint(format!("`stead workspace delete {slug}` ends it; `stead workspace suspend {slug}` keeps all")));
    }
    let is_named = |slug: &String| args.workspaces.is_empty() || args.workspaces.contains(slug);
    // One whose node is being made has something to take down, too.
    let is_there = |found: &WorkspaceView| found.node.is_some() || found.state == WorkspaceState::Provisioning.as_str();
    let doomed: Vec<_> =
        known.into_values().filter(|found| is_named(&found.slug) && is_declared(found) && is_there(found)).collect();
    if doomed.is_empty() {
        return nothing(env);
    }
    let is_made = |kind: &str| kind != ProviderKind::Ssh.to_string();
    if let Some(made) = doomed.iter().find(|found| found.node.as_ref().is_some_and(|node| is_made(&node.kind)))
        && args.gone
    {
        return Err(Error::input(format!("the machine of {:?} was not brought: Stead made it", made.slug))
            .hint("leave --gone out: a machine that is not there any more counts as destroyed"));
    }
    let slugs: Vec<String> = doomed.iter().map(|workspace| workspace.slug.clone()).collect();
    if !args.yes {
        confirm(env, &slugs)?;
    }
    let body = serde_json::json!({"gone": args.gone});
    let jobs = doomed.iter().map(async |workspace| {
        let begun: Begun = client.create(&format!("/v1/workspaces/{}/down", workspace.id), &body).await?;
        follow(env, client, &workspace.slug, begun.workflow.id).await
    });
    let (mut destroyed, mut errors) = (Vec::new(), Vec::new());
    for (slug, ended) in slugs.iter().zip(side_by_side(jobs).await) {
        match ended {
            Ok(()) => destroyed.push(slug.clone()),
            Err(error) => errors.push(error),
        }
    }
    told(env, &destroyed, begun.elapsed())?;
    conclude(&env.printer, format_args!("{} workspaces", slugs.len()), errors)
}

/// Whether files declare it, or did: what came through the API is its customers', and is not the files' to take down.
fn is_declared(workspace: &WorkspaceView) -> bool {
    workspace.managed_by == ManagedBy::Files.as_str()
}
