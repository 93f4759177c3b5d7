//! What the fleet's files declare, published: as a revision, and in the workspaces' records.

use super::env::{Env, Held};
use crate::audit::Entry;
use crate::id::RevisionId;
use crate::store::{ManagedBy, Revision, Workspace};
use crate::{Error, Result};

/// Publishes the files as a revision; the same files are the same revision.
pub(super) async fn publish(env: &Env, held: &Held) -> Result<Revision> {
    let files = &held.place.desired.files;
    held.store.blobs().sweep()?;
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
