//! `stead secret rm`: a value, gone from node and vault.

use serde::Serialize;

use super::afar;
use crate::audit::{self, Entry};
use crate::cli::env::Env;
use crate::cli::work::Work;
use crate::fleet::name::check_secret;
use crate::secrets::vault::Vault;
use crate::workflow::flows::{forget, suspend};
use crate::{Error, Result};

/// Takes a secret's value away: from the workspace's node, then from the vault
///
/// The repository's history keeps the encrypted file: a value that others may have seen must be revoked where it came
/// from. A unit that runs with the credential keeps it until it is restarted.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The workspace
    workspace: String,
    /// The secret's name
    name: String,
}

#[derive(Serialize)]
struct Removed<'a> {
    workspace: &'a str,
    name: &'a str,
    from_vault: bool,
    from_node: bool,
}

/// Runs the command.
///
/// # Errors
/// Fails where there is no such secret, or the node cannot be reached; then the vault keeps the value.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let (slug, name) = (args.workspace.as_str(), args.name.as_str());
    check_secret(name)?;
    if let Some(client) = env.remote()? {
        afar::remove(env, &client, slug, name).await?;
        return told(env, &Removed { workspace: slug, name, from_vault: false, from_node: true });
    }
    let held = env.hold("stead secret rm").await?;
    let mut reader = held.store.read().await?;
    let workspace = reader.workspace_by_slug(slug).await?;
    let recorded = match &workspace {
        Some(workspace) => reader.secret(workspace.id, name).await?,
        None => {
            held.place.select(std::slice::from_ref(&args.workspace))?;
            None
        }
    };
    drop(reader);
    let from_node = recorded.as_ref().is_some_and(|secret| secret.node_id.is_some());
    if let Some(workspace) = workspace.as_ref().filter(|_| from_node) {
        suspend::refuse(workspace)?;
    }
    if let (Some(workspace), Some(secret)) = (&workspace, &recorded) {
        let work = Work::new(env, &held)?;
        let params =
            forget::Params { workspace: workspace.id, secret: secret.id, name: name.to_owned(), actor: env.actor() };
        let subject = secret.id.to_string();
        work.name(&subject, slug);
        let id = work.engine.enqueue(forget::KIND, subject, &params, None).await?;
        work.run(vec![(slug.to_owned(), id)]).await?;
    }
    let from_vault = Vault::open(&held.place.dir)?.remove(slug, name)?;
    if !from_vault && !from_node {
        return Err(Error::input(format!("{slug} has no value for a secret {name}"))
            .hint(format!("`stead secret list {slug}` lists those that it has")));
    }
    let target = workspace.map_or_else(|| format!("workspace/{slug}"), |workspace| workspace.id.to_string());
    let entry = Entry::new(env.actor(), "secret.remove", target).detail("workspace", slug).detail("name", name);
    held.store.write(|tx| Box::pin(entry.append(tx))).await?;
    audit::seal(&held.store).await?;
    let declared = held
        .place
        .desired
        .fleet
        .workspace(slug)
        .is_some_and(|workspace| workspace.secrets.iter().any(|known| known == name));
    if declared {
        env.printer.warn(format_args!(
            "{slug} still declares {name}: `stead up` refuses to go on until it has a value again, or is not declared"
        ));
    }
    told(env, &Removed { workspace: slug, name, from_vault, from_node })
}

fn told(env: &Env, removed: &Removed<'_>) -> Result<()> {
    let from = match (removed.from_node, removed.from_vault) {
        (true, true) => "from the node and the vault",
        (true, false) => "from the node",
        (false, _) => "from the vault",
    };
    env.printer.data(removed, format_args!("Removed {}/{} {from}.", removed.workspace, removed.name))
}
