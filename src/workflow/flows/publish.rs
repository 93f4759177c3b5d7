//! What the fleet's files declare, published: as a revision, and in the records of the workspaces that they declare.

use crate::audit::Entry;
use crate::fleet::FileSet;
use crate::id::RevisionId;
use crate::store::{BlobKey, ManagedBy, Revision, Store, Tx, Workspace};
use crate::{Error, Result};

/// Makes the audit log's entries: for whom, and in the course of which request, is the caller's affair.
pub type MakeEntry<'a> = &'a (dyn Fn(&str, String) -> Entry + Send + Sync);

/// Keeps what the files hold in the store: contents that lie apart, and then the set that names them, whose key this is.
///
/// # Errors
/// Fails where a file was changed since it was read, and where the store cannot be written.
pub async fn keep(store: &Store, files: &FileSet) -> Result<BlobKey> {
    for (_, apart) in files.apart() {
        store.blobs().put_file(&apart.hash.parse()?, &apart.from).await?;
    }
    store.blobs().put(files.to_bytes()?).await
}

/// Publishes a set of files that is kept already; the same files as the latest revision's are that revision. Whether it is a
/// new one comes with it.
///
/// # Errors
/// Fails where the store does.
pub async fn publish(
    tx: &mut Tx,
    digest: &str,
    kept: &BlobKey,
    by: &str,
    entry: MakeEntry<'_>,
) -> Result<(Revision, bool)> {
    // Ciphertext that no node came for is dropped whenever someone works on the fleet.
    tx.expire_envelopes().await?;
    let (revision, new) = tx.publish(digest, kept, by).await?;
    if new {
        entry("revision.publish", revision.id.to_string()).detail("number", revision.number).append(tx).await?;
    }
    Ok((revision, new))
}

/// Brings the record of a workspace in line with the files, which declare it to be of this tier.
///
/// # Errors
/// Fails where the workspace came through the control API, and where the store does.
pub async fn reconcile(
    tx: &mut Tx,
    slug: &str,
    tier: &str,
    revision: RevisionId,
    entry: MakeEntry<'_>,
) -> Result<Workspace> {
    let Some(mut workspace) = tx.workspace_by_slug(slug).await? else {
        let mut workspace = Workspace::new(slug, tier, ManagedBy::Files, tx.now());
        workspace.revision_id = Some(revision);
        tx.insert_workspace(&workspace).await?;
        entry("workspace.create", workspace.id.to_string()).detail("slug", slug).append(tx).await?;
        return Ok(workspace);
    };
    if workspace.managed_by != ManagedBy::Files {
        return Err(Error::input(format!("the workspace {slug:?} came through the control API already"))
            .hint("take it out of the fleet's files, or give this one another slug"));
    }
    if workspace.tier != tier || workspace.revision_id != Some(revision) {
        tier.clone_into(&mut workspace.tier);
        workspace.revision_id = Some(revision);
        tx.update_workspace(&workspace).await?;
    }
    Ok(workspace)
}
