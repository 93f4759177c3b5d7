//! Machines that people bring: taken in when the node is made, and given back when it is destroyed.
//!
//! What Stead puts there is a management user with the fleet's key, the record of which node this is, and the node agent with
//! its state. The machine keeps its host key, which is pinned in the fleet's files.

use std::time::Duration;

use tokio::time::Instant;

use super::reach::Reach;
use super::{Params, Platform, node, platform};
use crate::fleet::Machine;
use crate::keypair;
use crate::render::cloud_init::{MANAGEMENT_USER, NodeRecord};
use crate::ssh::{Client, ConnectError, HostKeys, Timeouts};
use crate::store::{Node, NodeRole, NodeState};
use crate::workflow::{StepCx, StepError};
use crate::{Error, Result};

/// How long the machine may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// [`Node::details`] says under this key that something of ours may be on the machine.
const TAKEN: &str = "taken";

/// Makes a node of a machine, or says why it is none that can be one. Words: the node's record, the fleet's public key, the
/// management user. Says Debian's name of the architecture.
const TAKE: &str = r#"set -eu
record=$0 key=$1 user=$2
. /etc/os-release
case "$ID ${VERSION_ID:-}" in
'debian 12' | 'debian 13') ;;
*) echo "it runs $PRETTY_NAME, and nodes run Debian 12 or 13" >&2; exit 45 ;;
esac
test -d /run/systemd/system || { echo 'systemd does not run there' >&2; exit 45; }
if test -e /etc/stead/node.json; then
    printf '%s\n' "$record" | cmp -s - /etc/stead/node.json ||
        { echo "it is a node already: $(tr -d ' \n' </etc/stead/node.json)" >&2; exit 46; }
elif id "$user" >/dev/null 2>&1; then
    echo "it has a user $user that Stead did not make" >&2; exit 46
fi
export DEBIAN_FRONTEND=noninteractive
bring() { apt-get install -yq --no-install-recommends sudo >&2; }
command -v sudo >/dev/null || bring || { apt-get update -q >&2; bring; }
mkdir -p /etc/stead
printf '%s\n' "$record" >/etc/stead/.node.json
sync /etc/stead/.node.json
mv /etc/stead/.node.json /etc/stead/node.json
id "$user" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash --comment Stead "$user" >&2
printf '%s ALL=(ALL) NOPASSWD:ALL\n' "$user" | install -m 0440 /dev/stdin /etc/sudoers.d/90-stead
home=$(getent passwd "$user" | cut -d: -f6)
install -d -m 0700 -o "$user" -g "$user" "$home/.ssh"
printf '%s\n' "$key" | install -m 0600 -o "$user" -g "$user" /dev/stdin "$home/.ssh/authorized_keys"
dpkg --print-architecture"#;

/// Takes all of that away again, delivered secrets included where the agent could not. Words: the node's id, the management
/// user. Does nothing where the machine is not this node. The user goes before its right to become root, so that whoever comes
/// after a crash finds no login that is good for nothing.
const GIVE_BACK: &str = r#"set -eu
grep -qs "\"$0\"" /etc/stead/node.json || exit 0
for record in /var/lib/stead/secrets/*.json; do
    test ! -e "$record" || rm -f "/etc/credstore.encrypted/$(basename "$record" .json)"
done
rm -f /etc/systemd/system/stead-guard.service /etc/systemd/system/sysinit.target.wants/stead-guard.service
rm -rf /var/lib/stead /var/cache/stead-fetch /run/stead
! id "$1" >/dev/null 2>&1 || userdel --remove --force "$1" >&2
rm -f /etc/sudoers.d/90-stead
rm -rf /etc/stead"#;

/// Takes the machine in. May be repeated.
pub(super) async fn take(cx: &StepCx<'_, Platform>, machine: &Machine) -> Result<serde_json::Value, StepError> {
    let platform = cx.context();
    let reach = Reach::from(machine);
    let record = {
        let params: Params = cx.params()?;
        platform::node_of(cx.store(), params.workspace).await?
    };
    let pinned = match &machine.host_key {
        Some(key) => key.clone(),
        None => return Err(StepError::Fatal(unpinned(platform, &reach).await?)),
    };
    cx.progress(format!("logging in to {}", machine.host));
    let client = log_in(platform, &reach, &HostKeys::parse([pinned.as_str()])?).await?;
    // From here on something of ours may be there.
    let noted = reach.clone();
    node::update(cx, move |node| {
        noted.record(node);
        node.details[TAKEN] = true.into();
        node.host_key = Some(pinned);
        node.state = NodeState::Booting;
    })
    .await?;
    let text = serde_json::to_string_pretty(&NodeRecord {
        fleet: platform.fleet_id.to_string(),
        node: record.id.to_string(),
        mark: record.mark.to_string(),
        signer: keypair::public_text(platform.keys.signer().public_key())?,
    })
    .map_err(|error| Error::failed("encoding the node's record").because(error))?;
    let key = keypair::public_text(platform.keys.ssh().public_key())?;
    let output = client.exec_as_root(TAKE, &[&text, &key, MANAGEMENT_USER], "").await?;
    if output.status != Some(0) {
        let error = Error::failed(format!("{client} cannot become a node")).because(output.stderr.trim());
        return Err(match output.status {
            Some(45) => StepError::Fatal(error.hint("bring a machine with Debian 12 or 13 and systemd")),
            Some(46) => StepError::Fatal(
                error.hint("whoever has it must give it back first: `stead down WORKSPACE` in that fleet"),
            ),
            _ => error.into(),
        });
    }
    let arch = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    node::update(cx, move |node| node.details[platform::ARCH] = arch.into()).await?;
    client.close().await;
    Ok(serde_json::json!({"host": machine.host}))
}

/// The first contact of the node agent with a machine that was taken in.
pub(super) async fn meet(cx: &StepCx<'_, Platform>, record: &Node) -> Result<serde_json::Value, StepError> {
    let session = cx.context().session(record, cx.fence(), PATIENCE).await?;
    node::met(cx, NodeRole::Serving, session).await?;
    Ok(serde_json::Value::Null)
}

/// Gives the machine back, as it was before but for what playbooks made.
///
/// # Errors
/// Fails where it cannot be reached: a machine of somebody's must not keep a login of ours without anyone being told.
pub(super) async fn give_back(platform: &Platform, record: &Node) -> Result<()> {
    let Some(reach) = Reach::of(record).filter(|_| record.details.get(TAKEN).is_some()) else { return Ok(()) };
    let accepted = HostKeys::parse(record.accepted_host_keys())?;
    let gone = |error: Error| error.hint("where the machine is gone for good: `stead down --gone WORKSPACE`");
    let (id, ours) = (record.id.to_string(), platform.connect(record, &accepted, Instant::now() + PATIENCE).await);
    let words = [id.as_str(), MANAGEMENT_USER];
    let (client, output) = match ours {
        Ok(client) => match client.exec_as_root(GIVE_BACK, &words, "").await {
            Ok(output) => (client, output),
            // A crash took our user's rights and not the user.
            Err(_) => {
                let client = log_in(platform, &reach, &accepted).await.map_err(gone)?;
                let output = client.exec_as_root(GIVE_BACK, &words, "").await?;
                (client, output)
            }
        },
        // Our user is gone, or was never made: whoever brought the machine can look.
        Err(ConnectError::UserKeyRefused { .. }) => {
            let client = log_in(platform, &reach, &accepted).await.map_err(gone)?;
            let output = client.exec_as_root(GIVE_BACK, &words, "").await?;
            (client, output)
        }
        Err(error) => return Err(gone(error.into())),
    };
    if output.status == Some(0) {
        return Ok(());
    }
    Err(Error::failed(format!("{client} could not be given back as it was")).because(output.stderr.trim()))
}

/// Logs in as whoever brought the machine.
async fn log_in(platform: &Platform, reach: &Reach, accepted: &HostKeys) -> Result<Client> {
    let target = reach.target(platform, &reach.user).await?;
    let deadline = Instant::now() + PATIENCE;
    let login = reach.login(platform)?;
    Ok(Client::connect_when_up(&target, &login, accepted, &Timeouts::default(), deadline).await?)
}

/// The error for a machine whose host key nobody has pinned: it tells the one that is presented, and how to know whether
/// that is the right one. Nothing is sent.
async fn unpinned(platform: &Platform, reach: &Reach) -> Result<Error> {
    let nobodys = keypair::generate("nobody")?;
    let accepted = HostKeys::one(nobodys.public_key().clone());
    let target = reach.target(platform, &reach.user).await?;
    let error = Error::input("the workspace pins no `host_key`, so nobody could know whose machine this is");
    match Client::connect(&target, &nobodys.into(), &accepted, &Timeouts::default()).await {
        Err(ConnectError::WrongHostKey { presented, at, .. }) => {
            let (text, fingerprint) = (keypair::public_text(&presented)?, keypair::fingerprint(&presented));
            Ok(error
                .hint(format!(
                    "{at} presents {fingerprint}: compare that on the machine's console, with `ssh-keygen -lf \
                     /etc/ssh/ssh_host_ed25519_key.pub`"
                ))
                .hint(format!("if it is the same: `host_key: \"{text}\"`")))
        }
        Err(other) => Err(other.into()),
        Ok(_) => Err(error),
    }
}
