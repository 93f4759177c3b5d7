//! What the fleet's files declare, published: as a revision, and in the workspaces' records.

use std::collections::BTreeSet;

use super::env::{Env, Held};
use super::image;
use crate::audit::Entry;
use crate::fleet::ProviderKind;
use crate::id::RevisionId;
use crate::store::{ManagedBy, Revision, Workspace};
use crate::workflow::flows;
use crate::{Error, Result};

/// Publishes the files as a revision; the same files are the same revision.
pub(super) async fn publish(env: &Env, held: &Held) -> Result<Revision> {
    let files = &held.place.desired.files;
    // Beside workers, what lies aside may be on its way.
    if !held.store.is_shared() {
        held.store.blobs().sweep()?;
    }
    // Before the set that names them.
    for (_, apart) in files.apart() {
        held.store.blobs().put_file(&apart.hash.parse()?, &apart.from).await?;
    }
    let blob = held.store.blobs().put(files.to_bytes()?).await?;
    let (digest, actor) = (files.digest(), env.actor());
    held.store
        .write(move |tx| {
            Box::pin(async move {
                // Ciphertext that no node came for is dropped whenever someone works on the fleet.
                tx.expire_envelopes().await?;
                let (revision, new) = tx.publish(&digest, &blob, &actor).await?;
                if new {
                    Entry::new(&actor, "revision.publish", revision.id.to_string())
                        .detail("number", revision.number)
                        .append(tx)
                        .await?;
                }
                Ok(revision)
            })
        })
        .await
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
    let declared: Vec<(String, String)> = slugs
        .iter()
        .filter_map(|slug| Some((slug.clone(), held.place.desired.fleet.workspace(slug)?.tier.clone())))
        .collect();
    let actor = env.actor();
    held.store
        .write(move |tx| {
            Box::pin(async move {
                let mut workspaces = Vec::new();
                for (slug, tier) in declared {
                    let workspace = match tx.workspace_by_slug(&slug).await? {
                        Some(mut workspace) => {
                            if workspace.managed_by != ManagedBy::Files {
                                return Err(Error::input(format!(
                                    "the workspace {slug:?} came through the control API already"
                                ))
                                .hint("take it out of the fleet's files, or give this one another slug"));
                            }
                            if workspace.tier != tier || workspace.revision_id != Some(revision) {
                                workspace.tier = tier;
                                workspace.revision_id = Some(revision);
                                tx.update_workspace(&workspace).await?;
                            }
                            workspace
                        }
                        None => {
                            let mut workspace = Workspace::new(slug, tier, ManagedBy::Files, tx.now());
                            workspace.revision_id = Some(revision);
                            tx.insert_workspace(&workspace).await?;
                            Entry::new(&actor, "workspace.create", workspace.id.to_string())
                                .detail("slug", workspace.slug.as_str())
                                .append(tx)
                                .await?;
                            workspace
                        }
                    };
                    workspaces.push(workspace);
                }
                Ok(workspaces)
            })
        })
        .await
}
