//! Publishing the fleet's files at a control plane: what it does not have yet is sent, by its hash, and then the revision.

use serde::Serialize;

use crate::Result;
use crate::api::fleet::FleetView;
use crate::api::views::RevisionView;
use crate::cli::env::{Env, Place};
use crate::client::{Client, Upload};
use crate::store::BlobKey;

#[derive(Serialize)]
struct New {
    archive: BlobKey,
}

/// Publishes the files as a revision; the same files are the same revision, and are not sent again.
pub(super) async fn publish(env: &Env, client: &Client, place: &Place) -> Result<RevisionView> {
    let fleet: FleetView = client.get("/v1/fleet").await?;
    if fleet.version != crate::VERSION {
        // What ships with a program is part of what it publishes.
        env.printer.warn(format_args!(
            "the server runs stead {}, and this is {}: what is published has the playbooks and images of this one",
            fleet.version,
            crate::VERSION
        ));
    }
    let files = &place.desired.files;
    for (_, apart) in files.apart() {
        bring(env, client, &apart.hash.parse()?, Upload::File(&apart.from)).await?;
    }
    let archive = files.to_bytes()?;
    let key = BlobKey::of(&archive);
    bring(env, client, &key, Upload::Held(archive.into())).await?;
    client.create("/v1/revisions", &New { archive: key }).await
}

/// Puts bytes where they are not yet.
async fn bring(env: &Env, client: &Client, key: &BlobKey, content: Upload<'_>) -> Result<()> {
    let path = format!("/v1/blobs/{key}");
    if client.find::<serde_json::Value>(&path).await?.is_some() {
        return Ok(());
    }
    if let Upload::File(file) = &content {
        env.printer.say(format_args!("Sending {}", file.file_name().unwrap_or_default()));
    }
    client.upload(&path, &content).await
}
