//! Step `image`: the tier's image, built where it is missing.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Desired, Params, Platform, platform};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::image::{Builder, Built, Definition, Inputs, Programs, Stop};
use crate::store::{self, Store};
use crate::workflow::{Step, StepCx, StepError};
use crate::{Error, Result};

/// What the step gives.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Output {
    /// The image's key.
    pub(super) key: String,
    /// Its layers, topmost first.
    pub(super) layers: Vec<camino::Utf8PathBuf>,
    /// Debian's name of its architecture; absent from what earlier versions of this program recorded.
    #[serde(default = "amd64")]
    pub(super) arch: String,
}

fn amd64() -> String {
    platform::AMD64.to_owned()
}

/// The step. Nothing is taken back: a stored image is worth keeping, whatever becomes of the node.
pub(super) struct Image;

#[async_trait]
impl Step<Platform> for Image {
    fn name(&self) -> &'static str {
        "image"
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(30 * 60)
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let params: Params = cx.params()?;
        let platform = cx.context();
        let desired = platform.desired(cx.store(), cx.revision()).await?;
        let (workspace, tier) = desired.workspace(&params.slug)?;
        if workspace.machine.is_some() {
            // It comes with a system of its own.
            return Ok(serde_json::Value::Null);
        }
        let image =
            tier.image.as_ref().ok_or_else(|| Error::failed(format!("the tier {:?} names no image", tier.name)))?;
        let name = image.name.clone();
        let (progress, mut lines) = tokio::sync::mpsc::unbounded_channel::<String>();
        let config = platform.config.clone();
        let stop = Stop::default();
        // Nor may it go on where nobody waits for it any more: the workflow may be another program's by now.
        let _guard = stop.on_drop();
        let stopped = stop.clone();
        let build = tokio::task::spawn_blocking(move || {
            // Nobody listens any more where the workflow was interrupted.
            build(&config, &desired, &name, stopped, &|line| drop(progress.send(line.to_owned())))
        });
        let watch = async {
            while let Some(line) = lines.recv().await {
                cx.progress(line);
            }
        };
        let stopper = async {
            cx.cancelled().await;
            stop.stop();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = watch => {}
            () = stopper => {}
        }
        let (inputs, built) =
            build.await.map_err(|error| Error::failed("the build ended unexpectedly").because(error))??;
        record(cx.store(), &params.actor, &inputs, &built).await?;
        let arch = inputs.definition.arch;
        Ok(serde_json::json!(Output { key: built.key.as_str().to_owned(), layers: built.layers, arch }))
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}

/// All that goes into an image, from what is declared.
///
/// # Errors
/// Fails as the definition and its playbooks do, and where the programs for nodes are missing.
pub fn inputs(config: &Config, desired: &Desired, name: &str) -> Result<Inputs> {
    let definition = Definition::load(&desired.files, name)?;
    let programs = Programs::load(&config.agents_dir, &definition.arch)?;
    let plan = crate::image::plan::compile(&desired.files, &definition)?;
    Ok(Inputs { definition, plan, files: desired.files.clone(), programs })
}

/// Builds an image from what is declared, or finds it; `stop` ends it early.
///
/// # Errors
/// Fails as [`inputs`] and the build do.
pub fn build(
    config: &Config,
    desired: &Desired,
    name: &str,
    stop: Stop,
    progress: &dyn Fn(&str),
) -> Result<(Inputs, Built)> {
    let inputs = inputs(config, desired, name)?;
    let built = Builder::new(config, &SystemClock).with_stop(stop).build(&inputs, progress)?;
    Ok((inputs, built))
}

/// Records a build; does nothing where it is recorded and nothing of it was made now. Another fleet on this machine may
/// have built it, so a store may meet an image that it did not make.
///
/// # Errors
/// Fails where a layer cannot be read or the store cannot be written.
pub async fn record(store: &Store, actor: &str, inputs: &Inputs, built: &Built) -> Result<()> {
    let (key, found) = (built.key.as_str(), built.made.is_empty());
    if found && store.read().await?.image(key).await?.is_some() {
        return Ok(());
    }
    let image = store::Image {
        key: key.to_owned(),
        name: inputs.definition.name.clone(),
        suite: inputs.definition.suite.name().to_owned(),
        arch: inputs.definition.arch.clone(),
        size: built.size()?,
        location: built.layers.first().map(ToString::to_string).unwrap_or_default(),
        built_at: SystemClock.now(),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a build")]
        build_seconds: built.seconds as u32,
    };
    let action = if found { "image.found" } else { "image.built" };
    let entry =
        crate::audit::Entry::new(actor, action, format!("image/{}", image.key)).detail("name", image.name.as_str());
    store
        .write(move |tx| {
            Box::pin(async move {
                // Another workspace's workflow may have found it in the same moment.
                if found && tx.image(&image.key).await?.is_some() {
                    return Ok(());
                }
                tx.put_image(&image).await?;
                entry.append(tx).await
            })
        })
        .await
}
