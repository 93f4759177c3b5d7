//! `stead image promote`.

use serde::Serialize;

use super::reference;
use crate::cli::env::{Env, Held};
use crate::cli::printer::GOOD;
use crate::clock::{Clock, SystemClock};
use crate::image::Definition;
use crate::image::build;
use crate::image::record::{Entry, Gate};
use crate::image::stages::Stages;
use crate::store::{Channel, Image};
use crate::workflow::flows::image;
use crate::{Error, Result, audit};

/// Points a channel at a build that passed its gates
///
/// The gates: `stead image verify`, `boot` with all of the definition's firmware, and `audit` where it names a hardening
/// profile. Tiers name a channel as `image: NAME:CHANNEL`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The build: NAME (its latest), NAME:CHANNEL, or the beginning of its key
    build: String,
    /// The channel
    #[arg(long, default_value = "stable", value_name = "CHANNEL")]
    to: String,
}

/// A channel that was moved.
#[derive(Serialize)]
pub(in crate::cli) struct Done {
    channel: String,
    key: String,
    before: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Fails where there is no such build, and where a gate was not passed.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    crate::fleet::name::check_label(&args.to)?;
    let held = env.hold("stead image promote").await?;
    let image = meant(env, &held, &args.build).await?;
    let done = promote(env, &held, &image, &args.to).await?;
    let text = format!("{GOOD}{}{GOOD:#} is now {}", done.channel, done.key);
    env.printer.data(&done, text)
}

/// Points a channel at a build, if it passed its gates.
///
/// # Errors
/// Fails where it did not, and where the build is not stored any more; the channel then stays where it is.
pub(in crate::cli) async fn promote(env: &Env, held: &Held, image: &Image, to: &str) -> Result<Done> {
    let definition = Definition::load(&held.place.desired.files, &image.name)?;
    let recorded = reference::entry(image)?;
    check(&definition, &recorded)?;
    let stages: Vec<_> = recorded.layers.iter().cloned().chain([recorded.file.clone()]).collect();
    if let Some(gone) = stages.iter().find(|stage| !stage.exists()) {
        return Err(Error::failed(format!("the build is not stored on this machine any more: {gone} is gone"))
            .hint(format!("`stead image build {}` makes it again", image.name)));
    }
    // The fleet's id: channels of the same name are each fleet's own. What the channel names now stays pinned until it names
    // the other.
    let pin = format!("{}.{}.{}", held.place.desired.fleet.id, image.name, to);
    let (pins, next) = (Stages::new(&env.config.cache_dir), format!("{pin}.next"));
    pins.pin(&next, &stages)?;
    let channel =
        Channel { image: image.name.clone(), name: to.to_owned(), key: image.key.clone(), since: SystemClock.now() };
    let before = held.store.read().await?.channel(&channel.image, &channel.name).await?.map(|channel| channel.key);
    let entry = audit::Entry::new(env.actor(), "image.promote", format!("image/{}", image.key))
        .detail("channel", format!("{}:{}", channel.image, channel.name))
        .detail("before", before.clone().unwrap_or_default());
    held.store
        .write(move |tx| {
            Box::pin(async move {
                tx.put_channel(&channel).await?;
                entry.append(tx).await
            })
        })
        .await?;
    pins.pin(&pin, &stages)?;
    pins.unpin(&next)?;
    audit::seal(&held.store).await?;
    Ok(Done { channel: format!("{}:{to}", image.name), key: image.key.clone(), before })
}

/// The build that is meant. A bare name is what is defined now: that is what was proved by its name.
async fn meant(env: &Env, held: &Held, text: &str) -> Result<Image> {
    if !super::names(&held.place.desired.files).contains(text) {
        return reference::resolve(&held.store, text).await;
    }
    let inputs = image::inputs(&env.config, &held.place.desired, text)?;
    let key = build::disk_key(&inputs)?;
    let found = match &key {
        Some(key) => held.store.read().await?.image(key.as_str()).await?,
        None => None,
    };
    found.ok_or_else(|| {
        Error::failed(format!("the image {text:?}, as it is defined now, was not built yet"))
            .hint(format!("`stead image build {text}`, and then its gates; or name an earlier build by its key"))
    })
}

/// The gates of an image, with the command that each is passed by.
pub(super) fn gates(definition: &Definition) -> Vec<(String, String)> {
    let name = &definition.name;
    let mut gates = vec![("verify".to_owned(), format!("stead image verify {name}"))];
    let firmware = definition.disk.as_ref().map_or(&[][..], |disk| &disk.firmware);
    gates.extend(
        firmware
            .iter()
            .map(|firmware| (format!("boot.{firmware}"), format!("stead image boot {name} --firmware {firmware}"))),
    );
    if definition.hardening.is_some() {
        gates.push(("audit".to_owned(), format!("stead image audit {name}")));
    }
    gates
}

/// Whether the bar was raised since, above what was found.
fn below(definition: &Definition, gate: &Gate) -> Option<String> {
    let minimum = definition.hardening.as_ref()?.lynis?;
    let found = *gate.figures.get("audit.lynis")?;
    #[expect(clippy::cast_precision_loss, reason = "an index of at most 100")]
    let below = found < minimum as f64;
    below.then(|| format!("Lynis gave {found}, and {minimum} is asked for now"))
}

/// Whether all gates were passed.
fn check(definition: &Definition, entry: &Entry) -> Result<()> {
    let (mut lines, mut commands) = (Vec::new(), Vec::new());
    for (gate, command) in gates(definition) {
        match entry.gates.get(&gate) {
            Some(found) if found.passed => match below(definition, found) {
                None => continue,
                Some(why) => lines.push(format!("{gate}: {why}")),
            },
            Some(found) => lines.push(format!("{gate}: {}", found.seen)),
            None => lines.push(format!("{gate}: not done yet")),
        }
        commands.push(format!("`{command}`"));
    }
    if lines.is_empty() {
        return Ok(());
    }
    Err(Error::failed("the build has not passed its gates; nothing was promoted")
        .because(lines.join("\n"))
        .hint(format!("then promote it again, after {}", commands.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::FileSet;

    fn gate(passed: bool, lynis: f64) -> Gate {
        let figures = [("audit.lynis".to_owned(), lynis)].into();
        Gate { passed, seen: if passed { "good".into() } else { "worse".into() }, figures, at: SystemClock.now() }
    }

    #[test]
    fn a_channel_moves_only_to_a_build_that_passed_every_gate() {
        let definition = Definition::load(&FileSet::shipped(), "agent-node").unwrap();
        let names: Vec<String> = gates(&definition).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["verify", "boot.bios", "boot.uefi", "audit"]);
        let mut entry = Entry::default();
        for name in &names {
            let error = check(&definition, &entry).unwrap_err();
            assert!(format!("{error:?}").contains(&format!("{name}: not done yet")), "{error:?}");
            entry.gates.insert(name.clone(), gate(true, 85.0));
        }
        check(&definition, &entry).unwrap();
        for name in &names {
            let mut failed = entry.clone();
            failed.gates.insert(name.clone(), gate(false, 85.0));
            let error = format!("{:?}", check(&definition, &failed).unwrap_err());
            assert!(error.contains(&format!("{name}: worse")) && error.contains("stead image"), "{error}");
        }
        // The bar was raised after the audit.
        entry.gates.insert("audit".into(), gate(true, 84.0));
        let error = format!("{:?}", check(&definition, &entry).unwrap_err());
        assert!(error.contains("audit: Lynis gave 84, and 85 is asked for now"), "{error}");
    }
}
