//! Step `machine`: the machine itself, made by its provider from the image.

use std::time::Duration;

use async_trait::async_trait;

use super::declared::Declared;
use super::{Params, Platform, brought, image, is_brought, node, platform};
use crate::image::sources::Sources;
use crate::image::stages::Stages;
use crate::keypair;
use crate::provider::{Base, MachineSpec};
use crate::redact::Secret;
use crate::render::Context;
use crate::render::cloud_init::{BootstrapHostKey, NodeRecord, UserData};
use crate::store::{NodeRole, NodeState};
use crate::workflow::{Step, StepCx, StepError};
use crate::{Error, Result};

/// The step, for the node of this role.
pub(super) struct Machine(pub(super) NodeRole);

#[async_trait]
impl Step<Platform> for Machine {
    fn name(&self) -> &'static str {
        "machine"
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(10 * 60)
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let params: Params = cx.params()?;
        let platform = cx.context();
        let declared = Declared::of(cx, &params).await?;
        let (desired, workspace, tier) = (&declared.desired, &declared.workspace, declared.tier()?);
        if let Some(machine) = &workspace.machine {
            return brought::take(cx, machine).await;
        }
        let image: image::Output = cx.output("image")?;
        let record = node::of(cx, self.0).await?;
        let provider = platform.provider(&record.kind)?;
        let machine = match provider.find(&record.mark).await? {
            // Made by this step before the process died: it knows the bootstrap key that is recorded.
            Some(_) => provider.start(&record.mark).await?,
            None => {
                let key = keypair::generate("stead bootstrap")?;
                let public = keypair::public_text(key.public_key())?;
                // Recorded before the machine exists: a key that no machine has costs nothing, a machine whose key
                // nobody knows could never be trusted.
                let size = tier.size;
                let vm = image.disk.is_some();
                let arch = image.arch.clone();
                let record = node::update_as(cx, self.0, move |node| {
                    node.details[platform::ARCH] = serde_json::json!(arch);
                    node.details[platform::SIZE] = serde_json::json!(size);
                    node.details[platform::VM] = vm.into();
                    node.bootstrap_host_key = Some(public);
                    node.host_key = None;
                    node.host_key_pending = None;
                })
                .await?;
                let user_data = UserData {
                    hostname: params.slug.clone(),
                    fqdn: desired.fleet.dns_name(&params.slug),
                    authorized_keys: vec![keypair::public_text(platform.keys.ssh().public_key())?],
                    host_key: BootstrapHostKey {
                        private: Secret::new(keypair::to_text(&key)?.as_bytes().to_vec()),
                        public: keypair::public_text(key.public_key())?,
                    },
                    node: NodeRecord {
                        fleet: platform.fleet_id.to_string(),
                        node: record.id.to_string(),
                        mark: record.mark.to_string(),
                        signer: keypair::public_text(platform.keys.signer().public_key())?,
                    },
                    // The image names none, so that it is the same bits on every host.
                    archives: Sources::of_host().ok().and_then(Sources::for_others),
                };
                let base = match image.disk {
                    // It is copied.
                    Some(disk) => Base::Disk(disk),
                    None => {
                        Stages::new(&platform.config.cache_dir).pin(record.mark.as_str(), &image.layers)?;
                        Base::Layers(image.layers)
                    }
                };
                let spec = MachineSpec {
                    mark: record.mark.clone(),
                    hostname: params.slug.clone(),
                    base,
                    size,
                    user_data: user_data.render(&Context::default())?,
                };
                provider.create(&spec).await?
            }
        };
        let (addresses, ssh_port) = (machine.addresses.clone(), machine.ssh_port);
        node::update_as(cx, self.0, move |node| {
            node.state = NodeState::Booting;
            node.addresses = addresses;
            node.ssh_port = ssh_port;
            node.image = Some(image.key);
        })
        .await?;
        Ok(serde_json::json!({"addresses": machine.addresses, "ssh_port": machine.ssh_port}))
    }

    async fn undo(&self, cx: &StepCx<'_, Platform>) -> Result<(), StepError> {
        let Some(node) = node::find(cx, self.0).await? else { return Ok(()) };
        destroy(cx, &node).await
    }
}

/// Destroys the node's machine, if there is one, and looks that it is gone; one that people brought is given back.
pub(super) async fn destroy(cx: &StepCx<'_, Platform>, node: &crate::store::Node) -> Result<(), StepError> {
    cx.context().close(node.id).await;
    if is_brought(node) {
        return Ok(brought::give_back(cx.context(), node).await?);
    }
    let provider = cx.context().provider(&node.kind)?;
    provider.destroy(&node.mark).await?;
    match provider.find(&node.mark).await? {
        None => Ok(Stages::new(&cx.context().config.cache_dir).unpin(node.mark.as_str())?),
        Some(_) => {
            Err(Error::failed(format!("the provider still has the machine {} after it was destroyed", node.mark))
                .into())
        }
    }
}
