//! `stead secret set`: a value, into the vault and onto the node.

use serde::Serialize;

use super::{afar, value};
use crate::audit::{self, Entry};
use crate::cli::env::{Env, Held, Place};
use crate::cli::work::Work;
use crate::client::Client;
use crate::fleet::name::check_secret;
use crate::id::RevisionId;
use crate::secrets::vault::Vault;
use crate::store::{FleetLock, SecretRecord, SecretState, Store, Workspace, WorkspaceState};
use crate::workflow::flows::{converge, deprovision, provision, rebuild};
use crate::{Error, Result};

/// Gives a secret its value, which is read on stdin
///
/// The value goes into the operators' vault (secrets/WORKSPACE/NAME.age, encrypted to every operator), and from there
/// onto the workspace's node: at once where it has one, otherwise when `stead up` makes it. On a terminal the value is
/// asked for and not shown; a line end after it is cut.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The workspace
    workspace: String,
    /// The secret's name
    name: String,
}

/// What became of the value.
#[derive(Serialize)]
struct Outcome<'a> {
    workspace: &'a str,
    name: &'a str,
    version: u64,
    state: SecretState,
    /// Keyed, salted hash; of what the node holds, so only once it does.
    fingerprint: Option<String>,
    masked_tail: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Fails where nothing declares the workspace, there is no value, or the node does not take it; then it stays in the vault.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let (slug, name) = (args.workspace.as_str(), args.name.as_str());
    check_secret(name)?;
    if let Some(client) = env.remote()? {
        return set_there(env, &client, slug, name).await;
    }
    let place = env.place()?;
    place.select(std::slice::from_ref(&args.workspace))?;
    let declared = is_declared(env, &place, slug, name);
    let vault = Vault::open(&place.dir)?;
    // Before the lock is taken: whoever types must not hold the fleet.
    let value = value::read(&env.printer, slug, name)?;

    // Whoever holds the fleet may do so for minutes; asking first spares the wait.
    let held = match FleetLock::holder(&place.dir.join(".stead"))? {
        Some(holder) => Err(holder),
        None => env.try_hold("stead secret set").await?,
    };
    let store = match &held {
        Ok(held) => held.store.clone(),
        Err(_) => env.store(&place).await?,
    };
    vault.put(slug, name, &value)?;
    drop(value);
    let workspace = store.read().await?.workspace_by_slug(slug).await?;
    let mut outcome =
        Outcome { workspace: slug, name, version: 1, state: SecretState::Vault, fingerprint: None, masked_tail: None };
    outcome.version = record(env, &store, slug, name, workspace.as_ref()).await?;

    let later = match (&held, &workspace) {
        _ if !declared => Some(format!("Nothing delivers it until {slug} declares it.")),
        (Err(holder), _) => Some(format!("The fleet is in use by {holder}: `stead up {slug}` delivers it afterwards.")),
        (Ok(held), Some(workspace)) => match destination(env, held, workspace, name).await? {
            Ok(revision) => {
                env.printer.say(format_args!("Delivering {name} to the node of {slug}"));
                let work = Work::new(env, held)?;
                let id = work.enqueue(converge::KIND, workspace, Some(revision)).await?;
                work.run(vec![(slug.to_owned(), id)])
                    .await
                    .map_err(|error| error.context("the value is in the vault, but not on the node"))?;
                None
            }
            Err(later) => Some(later),
        },
        (Ok(_), None) => Some(format!("`stead up {slug}` delivers it to the node.")),
    };
    audit::seal(&store).await?;
    if let Some(recorded) = delivered(&store, workspace.as_ref(), name).await? {
        outcome.state = SecretState::Delivered;
        outcome.fingerprint = Some(recorded.fingerprint);
        outcome.masked_tail = recorded.masked_tail;
    }
    env.printer.data(&outcome, text(&outcome, later))
}

async fn set_there(env: &Env, client: &Client, slug: &str, name: &str) -> Result<()> {
    let place = match env.fleet_dir() {
        Ok(_) => Some(env.place()?).filter(|place| place.desired.fleet.workspace(slug).is_some()),
        Err(_) => None,
    };
    let workspace = match &place {
        Some(_) => afar::there(client).workspace(slug).await?,
        // A typo is told before anybody types a value.
        None => Some(afar::there(client).named(slug).await?),
    };
    let declared = place.as_ref().is_none_or(|place| is_declared(env, place, slug, name));
    let value = value::read(&env.printer, slug, name)?;
    let kept = match &place {
        Some(place) => Some(Vault::open(&place.dir)?.put(slug, name, &value)?),
        None => None,
    };
    let has_node = workspace.is_some_and(|workspace| workspace.node.is_some());
    if kept.is_some() && !(has_node && declared) {
        let outcome = Outcome {
            workspace: slug,
            name,
            version: 1,
            state: SecretState::Vault,
            fingerprint: None,
            masked_tail: None,
        };
        let later = if declared {
            format!("{slug}/{name} is in the vault. `stead up {slug}` delivers it.")
        } else {
            format!("{slug}/{name} is in the vault. Nothing delivers it until {slug} declares it.")
        };
        return env.printer.data(&outcome, later);
    }
    let given = afar::set(env, client, slug, name, &value).await;
    let secret = given.map_err(|error| match kept {
        Some(()) => error.context("the value is in the vault, but not on the node"),
        None => error,
    })?;
    let state = if secret.state == "delivered" { SecretState::Delivered } else { SecretState::Vault };
    let outcome = Outcome {
        workspace: slug,
        name,
        version: secret.version,
        state,
        fingerprint: Some(secret.fingerprint).filter(|_| state == SecretState::Delivered),
        masked_tail: secret.masked_tail,
    };
    let text = match state {
        SecretState::Delivered => text(&outcome, None),
        _ => format!("{slug}/{name}: another value came after this one, and is on its way"),
    };
    env.printer.data(&outcome, text)
}

fn text(outcome: &Outcome<'_>, later: Option<String>) -> String {
    let Outcome { workspace, name, version, .. } = outcome;
    match (&outcome.fingerprint, later) {
        (Some(fingerprint), None) => {
            let tail = outcome.masked_tail.as_deref().map(|tail| format!(", ends in …{tail}")).unwrap_or_default();
            format!("{workspace}/{name} version {version} is on the node: {fingerprint}{tail}")
        }
        (_, later) => format!(
            "{workspace}/{name} version {version} is in the vault. {}",
            later.unwrap_or_else(|| format!("`stead up {workspace}` delivers it."))
        ),
    }
}

/// Whether the files declare the secret as they are now; warns where not, since that may be a typo.
fn is_declared(env: &Env, place: &Place, slug: &str, name: &str) -> bool {
    let declared = place.desired.fleet.workspace(slug).map(|workspace| &workspace.secrets);
    if declared.is_some_and(|secrets| secrets.iter().any(|declared| declared == name)) {
        return true;
    }
    let hint = crate::fleet::read::nearest(name, declared.into_iter().flatten());
    let meant = hint.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    env.printer.warn(format_args!(
        "{slug} does not declare a secret {name}; `secrets: [{name}]` in its declaration does{meant}"
    ));
    false
}

/// Writes down that there is a new value, so that the next converge delivers it; the value's version.
async fn record(env: &Env, store: &Store, slug: &str, name: &str, workspace: Option<&Workspace>) -> Result<u64> {
    let (actor, slug, name, id) =
        (env.actor(), slug.to_owned(), name.to_owned(), workspace.map(|workspace| workspace.id));
    store
        .write(move |tx| {
            Box::pin(async move {
                let recorded = match id {
                    Some(id) => tx.secret(id, &name).await?,
                    None => None,
                };
                // Without a record nothing was ever delivered, and the first delivery will be version 1.
                let version = recorded.as_ref().map_or(1, |recorded| recorded.version + 1);
                if let Some(recorded) = recorded {
                    let (state, delivered_at, lost_at) = (SecretState::Vault, None, None);
                    let next = SecretRecord { version, state, delivered_at, lost_at, ..recorded };
                    tx.put_secret(&next).await?;
                }
                let target = id.map_or_else(|| format!("workspace/{slug}"), |id| id.to_string());
                Entry::new(actor, "secret.set", target)
                    .detail("workspace", slug)
                    .detail("name", name)
                    .detail("version", version)
                    .append(tx)
                    .await?;
                Ok(version)
            })
        })
        .await
}

/// The revision to deliver at, or why it is delivered later.
///
/// The one that the workspace was last brought to, not the files as they are now: giving a secret must not publish them.
async fn destination(
    env: &Env,
    held: &Held,
    workspace: &Workspace,
    name: &str,
) -> Result<Result<RevisionId, String>, Error> {
    let slug = &workspace.slug;
    if workspace.state == WorkspaceState::Suspended {
        return Ok(Err(format!("{slug} is suspended: `stead workspace resume {slug}` delivers it.")));
    }
    let mut reader = held.store.read().await?;
    let subject = workspace.id.to_string();
    let making = reader.live_workflow(provision::KIND, &subject).await?.is_some();
    let ending = reader.live_workflow(deprovision::KIND, &subject).await?.is_some();
    let replacing = reader.live_workflow(rebuild::KIND, &subject).await?.is_some();
    let (Some(_), Some(revision), false, false, false) =
        (reader.node_of(workspace.id).await?, workspace.revision_id, making, ending, replacing)
    else {
        return Ok(Err(format!("`stead up {slug}` delivers it to the node.")));
    };
    drop(reader);
    let desired = env.platform(&held.place)?.desired(&held.store, Some(revision)).await?;
    let declared =
        desired.fleet.workspace(slug).is_some_and(|workspace| workspace.secrets.iter().any(|known| known == name));
    Ok(if declared {
        Ok(revision)
    } else {
        Err(format!("{slug} was last brought up without this secret: `stead up {slug}` delivers it."))
    })
}

async fn delivered(store: &Store, workspace: Option<&Workspace>, name: &str) -> Result<Option<SecretRecord>> {
    let Some(workspace) = workspace else { return Ok(None) };
    let recorded = store.read().await?.secret(workspace.id, name).await?;
    Ok(recorded.filter(|recorded| recorded.state == SecretState::Delivered))
}
