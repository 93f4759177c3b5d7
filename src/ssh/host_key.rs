//! Replaces a node's bootstrap host key by one that the node made itself.
//!
//! The bootstrap key came with user-data, which a workload on the node may read for ever; so it is good for the first
//! contact only. The steps, each of which may be the last before a crash:
//!
//! 1. the node makes a key aside (or finds the one that it made before);
//! 2. the controller records it as *pending*: from here on the current and the pending key are accepted;
//! 3. the node puts it in use;
//! 4. the controller connects anew and accepts the pending key only;
//! 5. the controller promotes it: from here on nothing else is accepted.
//!
//! Every step finds what was done before, so after a crash the whole is run again from its start.

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use super::session::out_of_turn;
use super::{Client, ConnectError, HostKeys, NodeSession};
use crate::keypair::{self, PublicKey};
use crate::wire::message::{Reply, Request};
use crate::{Error, Result};

/// How long sshd may go on with the old key after it was told to take the new one.
const RELOAD: Duration = Duration::from_secs(10);
/// Between two looks at it.
const POLL: Duration = Duration::from_millis(100);

/// What the controller knows of a node's host keys. Each call has to last: what it recorded is there after a crash.
#[async_trait]
pub trait HostKeyRecord: Send + Sync {
    /// The current key, and the pending one where there is one.
    async fn accepted(&self) -> Result<HostKeys>;
    /// Records a key as pending, in place of one that was pending before; does nothing where it is current already.
    async fn record_pending(&self, key: &PublicKey) -> Result<()>;
    /// Makes the pending key the current one, and forgets the one before; does nothing where it is current already.
    async fn promote(&self, key: &PublicKey) -> Result<()>;
}

/// The node's part in it.
#[async_trait]
pub trait HostKeyHolder: Send {
    /// Makes a key aside, or finds the one made before. Returns its public half in OpenSSH's format.
    async fn prepare(&mut self) -> Result<String>;
    /// Puts the key in use whose public half is given; refuses any other.
    async fn install(&mut self, public: &str) -> Result<()>;
}

#[async_trait]
impl HostKeyHolder for NodeSession {
    async fn prepare(&mut self) -> Result<String> {
        match self.request(Request::HostKeyPrepare, &mut |_| {}).await? {
            Reply::HostKey { public } => Ok(public),
            reply => Err(out_of_turn(&reply)),
        }
    }

    async fn install(&mut self, public: &str) -> Result<()> {
        match self.request(Request::HostKeyInstall { public: public.to_owned() }, &mut |_| {}).await? {
            Reply::Done => Ok(()),
            reply => Err(out_of_turn(&reply)),
        }
    }
}

/// Runs the whole exchange with a node that is connected to. `connect` makes a new connection that accepts the given keys
/// and no others (waiting for the node where the caller wants that). Returns the connection that proved the new key.
///
/// # Errors
/// Fails as any step does; running it again continues.
pub async fn swap<R, H, C>(record: &R, mut node: H, connect: impl Fn(HostKeys) -> C + Send) -> Result<Client>
where
    R: HostKeyRecord + ?Sized,
    H: HostKeyHolder,
    C: Future<Output = Result<Client, ConnectError>> + Send,
{
    let accepted = record.accepted().await?;
    let key = prepare(record, &mut node).await?;
    install(&mut node, &key).await?;
    // The old connection has served: it was made with the key that is not trusted any more.
    drop(node);
    let client = reconnect(&key, &accepted, connect).await?;
    promote(record, &client, &key).await?;
    Ok(client)
}

/// Steps 1 and 2: the node makes a key aside, the controller records it as pending.
///
/// # Errors
/// Fails where the node does or the record cannot be written.
pub async fn prepare(record: &(impl HostKeyRecord + ?Sized), node: &mut impl HostKeyHolder) -> Result<PublicKey> {
    let key = keypair::parse_public(&node.prepare().await?)?;
    record.record_pending(&key).await?;
    Ok(key)
}

/// Step 3: the node puts the key in use.
///
/// # Errors
/// Fails where the node does, and where it does not hold this key.
pub async fn install(node: &mut impl HostKeyHolder, key: &PublicKey) -> Result<()> {
    node.install(&keypair::public_text(key)?).await
}

/// Step 4: connects anew and accepts the pending key only. For a few seconds the node's sshd may still answer with a key
/// of `before`; such a connection is given up and made again.
///
/// # Errors
/// Fails as the connection does, at once where a third key is presented.
pub async fn reconnect<C>(
    key: &PublicKey,
    before: &HostKeys,
    connect: impl Fn(HostKeys) -> C + Send,
) -> Result<Client, ConnectError>
where
    C: Future<Output = Result<Client, ConnectError>> + Send,
{
    let deadline = Instant::now() + RELOAD;
    loop {
        match connect(HostKeys::one(key.clone())).await {
            Err(ConnectError::WrongHostKey { presented, .. })
                if before.contains(&presented) && Instant::now() < deadline => {}
            // sshd closes its port for a moment while it starts anew.
            Err(error) if error.is_transient() && Instant::now() < deadline => {}
            result => return result,
        }
        sleep(POLL).await;
    }
}

/// Step 5: promotes the key that the connection has proved.
///
/// # Errors
/// Fails where the connection proved another key, or the record cannot be written.
pub async fn promote(record: &(impl HostKeyRecord + ?Sized), client: &Client, key: &PublicKey) -> Result<()> {
    if client.host_key().key_data() != key.key_data() {
        return Err(Error::failed(format!(
            "{client} proved the host key {}, not {}",
            keypair::fingerprint(client.host_key()),
            keypair::fingerprint(key)
        )));
    }
    record.promote(key).await
}
