//! What all requests share.

use std::sync::Arc;

use super::limits::Limiter;
use super::streams::Streams;
use crate::accounts::TokenHash;
use crate::config::control::{Http, Limits};
use crate::fleet::ProviderKind;
use crate::store::{Ability, Node, Placement, Revision, Store};
use crate::workflow::Engine;
use crate::workflow::flows::{Desired, Platform};
use crate::{Error, Result};

/// What all requests share. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    engine: Engine<Platform>,
    platform: Arc<Platform>,
    root: TokenHash,
    http: Http,
    limiter: Limiter,
    streams: Streams,
}

impl App {
    /// The API over a store. `engine` enqueues workflows; who runs them is another's affair. `root` is the hash of the token
    /// of this machine's operator.
    pub fn new(
        engine: Engine<Platform>,
        platform: Arc<Platform>,
        root: TokenHash,
        http: Http,
        limits: &Limits,
    ) -> Self {
        Self(Arc::new(Inner {
            engine,
            platform,
            root,
            http,
            limiter: Limiter::new(limits),
            streams: Streams::default(),
        }))
    }

    pub(super) fn store(&self) -> &Store {
        self.0.engine.store()
    }

    pub(super) fn engine(&self) -> &Engine<Platform> {
        &self.0.engine
    }

    pub(super) fn root(&self) -> &TokenHash {
        &self.0.root
    }

    pub(super) fn http(&self) -> &Http {
        &self.0.http
    }

    pub(super) fn streams(&self) -> &Streams {
        &self.0.streams
    }

    pub(super) fn limiter(&self) -> &Limiter {
        &self.0.limiter
    }

    /// What the operators have published last.
    pub(super) async fn desired(&self) -> Result<(Revision, Arc<Desired>)> {
        let latest = self.store().read().await?.latest_revision().await?;
        let revision = latest.ok_or_else(|| {
            Error::failed("no revision is published yet").hint("an operator publishes the fleet's files first")
        })?;
        let desired = self.0.platform.desired(self.store(), Some(revision.id)).await?;
        Ok((revision, desired))
    }
}

/// Which workers the flows of a node, or of one that is to be made at such a provider, are for.
pub(super) fn placement(node: Option<&Node>, kind: ProviderKind) -> Placement {
    match node {
        Some(node) if node.kind == ProviderKind::Local.to_string() => {
            Placement { needs: Some(Ability::Local), host: node.host.clone() }
        }
        Some(_) => Placement::default(),
        None => Placement { needs: (kind == ProviderKind::Local).then_some(Ability::Local), host: None },
    }
}
