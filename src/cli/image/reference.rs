//! Which build an argument means.

use crate::image::record::Entry;
use crate::store::{Image, Store};
use crate::{Error, Result};

/// The fewest digits that may stand for a key.
const SHORTEST: usize = 6;

/// A build by `NAME` (the latest one that was recorded), `NAME:CHANNEL`, or the beginning of its key.
///
/// # Errors
/// Fails where there is none, or where several keys begin so.
pub(super) async fn resolve(store: &Store, text: &str) -> Result<Image> {
    let mut reader = store.read().await?;
    if let Some((name, channel)) = text.split_once(':') {
        let found = reader.channel(name, channel).await?.ok_or_else(|| {
            Error::input(format!("the image {name:?} has no channel {channel:?}"))
                .hint(format!("`stead image promote {name} --to {channel}` makes it"))
        })?;
        let image = reader.image(&found.key).await?;
        return image
            .ok_or_else(|| Error::failed(format!("{text} points at a build that is not recorded: {}", found.key)));
    }
    let images = reader.images().await?;
    let mut named = images.iter().filter(|image| image.name == text);
    // Of a disk more is known than of its root.
    if let Some(latest) = named.clone().find(|image| image.record.is_some()).or_else(|| named.next()) {
        return Ok(latest.clone());
    }
    let is_key = text.len() >= SHORTEST && text.bytes().all(|c| c.is_ascii_hexdigit());
    let mut matching = images.iter().filter(|image| is_key && image.key.starts_with(text));
    match (matching.next(), matching.next()) {
        (Some(image), None) => Ok(image.clone()),
        (Some(_), Some(_)) => Err(Error::input(format!("several builds begin with {text}")).hint("give more of the key")),
        _ => Err(Error::input(format!("no build is called {text:?}")).hint(
            "NAME is its latest build, NAME:CHANNEL a promoted one; keys are in `stead image list`, and `stead image build NAME` makes a build",
        )),
    }
}

/// What is known of a build's disk.
///
/// # Errors
/// Fails where none was made.
pub(super) fn entry(image: &Image) -> Result<Entry> {
    let record = image.record.as_ref().ok_or_else(|| {
        Error::input(format!("of the build {} no disk was made", image.key))
            .hint(format!("`stead image build {}` makes one", image.name))
    })?;
    Entry::parse(record)
}
