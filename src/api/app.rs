//! What all requests share.

use std::sync::Arc;

use axum::http::StatusCode;

use super::Problem;
use super::accounts::origin::Origin;
use super::limits::Limiter;
use super::streams::Streams;
use crate::accounts::TokenHash;
use crate::config::control::{Accounts, Http, Limits};
use crate::fleet::ProviderKind;
use crate::notify::Mailer;
use crate::store::{Ability, Node, Placement, Revision, Store};
use crate::workflow::Engine;
use crate::workflow::flows::{Desired, Platform};
use crate::{Error, Result};

/// Who enqueues workflows.
pub(super) type Flows = Engine<Platform>;

/// What all requests share. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    engine: Engine<Platform>,
    platform: Arc<Platform>,
    root: TokenHash,
    settings: Settings,
    limiter: Limiter,
    streams: Streams,
}

/// How the API is to behave.
pub struct Settings {
    /// How it is served.
    pub http: Http,
    /// How often one may ask.
    pub limits: Limits,
    /// What people may do by themselves.
    pub accounts: Accounts,
    /// Where browsers reach it; without it, nobody is signed in.
    pub origin: Option<Origin>,
    /// Who sends its mail, if anybody does.
    pub mailer: Option<Mailer>,
}

impl App {
    /// The API over a store. `engine` enqueues workflows; who runs them is another's affair. `root` is the hash of the token
    /// of this machine's operator.
    pub fn new(engine: Engine<Platform>, platform: Arc<Platform>, root: TokenHash, settings: Settings) -> Self {
        let limiter = Limiter::new(&settings.limits);
        Self(Arc::new(Inner { engine, platform, root, settings, limiter, streams: Streams::default() }))
    }

    pub(super) fn store(&self) -> &Store {
        self.0.engine.store()
    }

    pub(super) fn engine(&self) -> &Engine<Platform> {
        &self.0.engine
    }

    pub(super) fn platform(&self) -> &Arc<Platform> {
        &self.0.platform
    }

    pub(super) fn root(&self) -> &TokenHash {
        &self.0.root
    }

    pub(super) fn http(&self) -> &Http {
        &self.0.settings.http
    }

    pub(super) fn accounts(&self) -> &Accounts {
        &self.0.settings.accounts
    }

    /// Where browsers reach it.
    pub(super) fn origin(&self) -> Result<&Origin, Problem> {
        self.0.settings.origin.as_ref().ok_or_else(|| {
            let detail = "this server has no address that browsers keep cookies of, so nobody can sign in";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
                .hint("an operator sets http.public_url")
        })
    }

    /// Who sends mail.
    pub(super) fn mailer(&self) -> Result<&Mailer, Problem> {
        self.0.settings.mailer.as_ref().ok_or_else(|| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "this server sends no mail, so nobody can sign in",
            )
            .hint("an operator sets mail.host and mail.from")
        })
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
