//! What of a node only a new node can bring in line with what is declared.

use std::collections::BTreeMap;

use serde::Serialize;

use super::env::Env;
use crate::api::views::NodeView;
use crate::image::{Definition, Lock, build};
use crate::store::Node;
use crate::workflow::flows::{self, Desired};
use crate::{Error, Result};

/// A part of a node that is not as declared now, and stays as it is until the node is made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outdated {
    Image,
    Provider,
    Size,
}

impl Outdated {
    /// All of them, in the order in which they are told.
    pub(super) const ALL: [Self; 3] = [Self::Image, Self::Provider, Self::Size];

    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Provider => "provider",
            Self::Size => "size",
        }
    }
}

/// What a node was made with.
pub(super) struct Made<'a> {
    image: Option<&'a str>,
    provider: &'a str,
    /// Where that is known.
    size: Option<&'a serde_json::Value>,
}

impl<'a> From<&'a Node> for Made<'a> {
    fn from(node: &'a Node) -> Self {
        Self { image: node.image.as_deref(), provider: &node.provider, size: node.details.get(flows::SIZE) }
    }
}

impl<'a> From<&'a NodeView> for Made<'a> {
    fn from(node: &'a NodeView) -> Self {
        Self { image: node.image.as_deref(), provider: &node.provider, size: None }
    }
}

/// What is declared now, with the keys that images would be built under. Each is worked out once.
pub(super) struct Declared<'a> {
    env: &'a Env,
    desired: &'a Desired,
    keys: BTreeMap<String, Option<String>>,
}

impl<'a> Declared<'a> {
    pub(super) fn new(env: &'a Env, desired: &'a Desired) -> Self {
        Self { env, desired, keys: BTreeMap::new() }
    }

    /// What of the node is outdated. Nothing is of one whose workspace is not declared any more, nor of what was not made
    /// yet. An image that cannot be described is told to `warn`, once.
    pub(super) fn of(&mut self, slug: &str, node: &Made<'_>, warn: &dyn Fn(Error)) -> Vec<Outdated> {
        let desired = self.desired;
        let Ok((workspace, tier)) = desired.workspace(slug) else { return Vec::new() };
        let image = match (node.image, &tier.image) {
            // What a channel names is promoted, not defined.
            (Some(_), Some(image)) if image.channel.is_some() => false,
            (Some(made), Some(image)) => self.key(&image.name, warn).is_some_and(|key| key != made),
            _ => false,
        };
        let size = node.size.is_some_and(|made| *made != serde_json::json!(tier.size));
        let parts = [
            (Outdated::Image, image),
            (Outdated::Provider, node.provider != workspace.provider),
            (Outdated::Size, size),
        ];
        parts.into_iter().filter_map(|(part, outdated)| outdated.then_some(part)).collect()
    }

    /// The key of the image's build from what is declared now.
    fn key(&mut self, name: &str, warn: &dyn Fn(Error)) -> Option<&String> {
        let (env, desired) = (self.env, self.desired);
        let key = || key(env, desired, name).map_err(|error| warn(error.context(format!("image {name:?}")))).ok();
        self.keys.entry(name.to_owned()).or_insert_with(key).as_ref()
    }
}

fn key(env: &Env, desired: &Desired, name: &str) -> Result<String> {
    if Lock::find(&desired.files, &Definition::load(&desired.files, name)?)?.is_none() {
        // Without a lock it was never built, so no node is of it.
        return Ok(String::new());
    }
    let inputs = flows::image::inputs(&env.config, desired, name)?;
    Ok(build::key(&inputs)?.as_str().to_owned())
}
