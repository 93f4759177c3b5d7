//! What the fleet's files declare, published: as a revision, and in the workspaces' records.

use std::collections::BTreeSet;
use std::time::Duration;

use super::env::{Env, Held};
use super::image;
use crate::Result;
use crate::audit::Entry;
use crate::fleet::ProviderKind;
use crate::id::RevisionId;
use crate::store::{Revision, Workspace};
use crate::workflow::flows;

/// Publishes the files as a revision; the same files are the same revision.
pub(super) async fn publish(env: &Env, held: &Held) -> Result<Revision> {
    let files = &held.place.desired.files;
    // Beside workers, what lies aside may be on its way.
    if !held.store.is_shared() {
        held.store.blobs().sweep(Duration::ZERO)?;
    }
    let (kept, digest, actor) = (flows::publish::keep(&held.store, files).await?, files.digest(), env.actor());
    let published = held.store.write(move |tx| {
        Box::pin(async move {
            let entry = |action: &str, target| Entry::new(&actor, action, target);
            flows::publish::publish(tx, &digest, &kept, &actor, &entry).await
        })
    });
    Ok(published.await?.0)
}

/// As [`publish`], for workspaces that come through the API: with the locks that the tiers' images lack made first.
pub(super) async fn publish_tiers(env: &Env, held: &mut Held) -> Result<Revision> {
    let desired = held.place.desired.clone();
    let (mut roots, mut disks) = (BTreeSet::new(), BTreeSet::new());
    for tier in desired.fleet.tiers.values() {
        let workspace = desired.workspace_in("any", &tier.name, Vec::new())?;
        let is_made = desired.fleet.provider(&workspace).is_some_and(|provider| provider.kind != ProviderKind::Ssh);
        // What a channel names is built already.
        if let Some(image) = tier.image.as_ref().filter(|image| is_made && image.channel.is_none()) {
            let vm = flows::image::is_vm(&desired, &workspace, tier);
            if vm { &mut disks } else { &mut roots }.insert(image.name.as_str());
        }
    }
    for (disk, names) in [(false, roots), (true, disks)] {
        image::lock::ensure(env, &mut held.place, names, disk).await?;
    }
    publish(env, held).await
}

/// Brings the workspaces' records in line with the files.
pub(super) async fn reconcile(
    env: &Env,
    held: &Held,
    slugs: &[String],
    revision: RevisionId,
) -> Result<Vec<Workspace>> {
    let (desired, slugs, actor) = (held.place.desired.clone(), slugs.to_vec(), env.actor());
    let reconciled = held.store.write(move |tx| {
        Box::pin(async move {
            let entry = |action: &str, target| Entry::new(&actor, action, target);
            let mut workspaces = Vec::new();
            for declared in slugs.iter().filter_map(|slug| desired.fleet.workspace(slug)) {
                let (slug, tier) = (&declared.slug, &declared.tier);
                workspaces.push(flows::publish::reconcile(tx, slug, tier, revision, &entry).await?);
            }
            Ok(workspaces)
        })
    });
    reconciled.await
}
