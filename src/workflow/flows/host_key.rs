//! Step `host-key`: the bootstrap host key, replaced by one that the node made itself.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Platform, node};
use crate::id::NodeId;
use crate::keypair::{self, PublicKey};
use crate::ssh::HostKeys;
use crate::ssh::host_key::{self, HostKeyRecord};
use crate::store::{Node, NodeRole, Store};
use crate::workflow::{Step, StepCx, StepError};
use crate::{Error, Result};

/// How long the node may take to answer again with its new key.
const PATIENCE: Duration = Duration::from_secs(15);

/// The step, for the node of this role. There is nothing to take back: the machine goes with its keys.
pub(super) struct HostKey(pub(super) NodeRole);

#[async_trait]
impl Step<Platform> for HostKey {
    fn name(&self) -> &'static str {
        "host-key"
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let platform = cx.context();
        let record = node::of(cx, self.0).await?;
        let keys = Recorded { store: cx.store(), node: record.id };
        if record.host_key.is_some() && record.host_key_pending.is_none() {
            return Ok(serde_json::json!({"host_key": record.host_key}));
        }
        // The session of the boot step was made with the bootstrap key; it serves once more, to bring the new one.
        let session = platform.session(&record, cx.fence(), PATIENCE).await?;
        let connect = |only: HostKeys| {
            let record = &record;
            async move { platform.connect(record, &only, Instant::now() + PATIENCE).await }
        };
        let client = host_key::swap(&keys, session, connect).await?;
        let key = keypair::public_text(client.host_key())?;
        let session = platform.open(&client, &record, cx.fence()).await?;
        platform.keep(record.id, cx.fence(), session);
        Ok(serde_json::json!({"host_key": key}))
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}

/// The node's keys in the store.
struct Recorded<'a> {
    store: &'a Store,
    node: NodeId,
}

impl Recorded<'_> {
    async fn node(&self) -> Result<Node> {
        self.store.read().await?.node(self.node).await?.ok_or_else(|| Error::failed("the node's record is gone"))
    }

    async fn change(&self, change: impl FnOnce(&mut Node) + Send + 'static) -> Result<()> {
        let mut node = self.node().await?;
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    change(&mut node);
                    tx.update_node(&node).await
                })
            })
            .await
    }
}

#[async_trait]
impl HostKeyRecord for Recorded<'_> {
    async fn accepted(&self) -> Result<HostKeys> {
        HostKeys::parse(self.node().await?.accepted_host_keys())
    }

    async fn record_pending(&self, key: &PublicKey) -> Result<()> {
        let text = keypair::public_text(key)?;
        self.change(move |node| {
            if node.host_key.as_ref() != Some(&text) {
                node.host_key_pending = Some(text);
            }
        })
        .await
    }

    async fn promote(&self, key: &PublicKey) -> Result<()> {
        let text = keypair::public_text(key)?;
        self.change(move |node| {
            node.host_key = Some(text);
            node.host_key_pending = None;
            // Its private half lies in user-data, where a workload may read it for ever.
            node.bootstrap_host_key = None;
        })
        .await
    }
}
