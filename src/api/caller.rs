//! Who asks, and whether they may.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use tracing::Instrument;
use zeroize::Zeroizing;

use super::accounts::cookies;
use super::guard::{RequestId, answering};
use super::{App, Problem};
use crate::accounts::policy::{self, Decision, Permission};
use crate::accounts::session::{self, Means};
use crate::accounts::{self, Principal, SignedInAs};
use crate::audit::Entry;
use crate::id::WorkspaceId;
use crate::store::Suspender;
use crate::{Kind, Result};

/// Who asks. [`authorize`] puts it into every request under `/v1`, and each handler takes a clone.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) principal: Arc<Principal>,
    pub(super) request: Arc<str>,
}

/// Lets nobody on who does not say who they are.
pub(super) async fn authorize(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().map_or_else(Arc::default, |id| id.0.clone());
    match identify(&app, request.method(), request.headers(), &id).await {
        Ok(principal) => {
            request.extensions_mut().insert(Caller { principal: Arc::new(principal), request: id });
            let span = answering(&mut request);
            next.run(request).instrument(span).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn identify(app: &App, method: &Method, headers: &HeaderMap, request: &str) -> Result<Principal, Problem> {
    let given = headers.get(header::AUTHORIZATION).map(|value| bearer(value.as_bytes()));
    let principal = match given {
        None => {
            let Some(cookie) = cookies::read(headers, cookies::SESSION).map(Zeroizing::new) else {
                let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "a token is needed");
                return Err(
                    problem.hint("send the header `Authorization: Bearer TOKEN`; in a browser, sign in at /sign-in")
                );
            };
            app.origin()?.check(method, headers)?;
            // What a program was given is no cookie: a browser vouches for whoever sits before it.
            let word = Some(cookie.as_bytes()).filter(|word| Means::of(word) == Means::Browser);
            let found = match word {
                Some(word) => Box::pin(session::find(app.store(), word, app.accounts())).await?,
                None => None,
            };
            let Some(person) = found else {
                // Browsers send what they have; that it has ended is no attempt at anything.
                let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "the session has ended");
                return Err(problem.hint("sign in again, at /sign-in"));
            };
            Some(person)
        }
        Some(Some(token)) if app.root().matches(token) => Some(Principal::root()),
        Some(Some(token)) if Means::of(token) == Means::Program => {
            Box::pin(session::find(app.store(), token, app.accounts())).await?
        }
        Some(Some(token)) => accounts::find(app.store(), token).await?,
        Some(None) => None,
    };
    let Some(principal) = principal else {
        refuse(app, "anonymous", "token.use", "api", request).await?;
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "the token is wrong, or has ended"));
    };
    app.limiter().caller(&principal.actor)?;
    Ok(principal)
}

/// The token of a `Bearer` header; the scheme is compared without case (RFC 9110, section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

impl Caller {
    /// For the audit log.
    pub(super) fn actor(&self) -> &str {
        &self.principal.actor
    }

    /// The person who asks.
    pub(super) fn signed_in(&self) -> Result<SignedInAs, Problem> {
        self.principal.signed_in.ok_or_else(|| {
            Problem::new(StatusCode::FORBIDDEN, "forbidden", "this is for people who are signed in, not for tokens")
        })
    }

    /// Lets the caller on who may do this, to the workspace that it concerns, if it concerns one. Who may not is written down.
    pub(super) async fn may(
        &self,
        app: &App,
        permission: Permission,
        workspace: Option<WorkspaceId>,
    ) -> Result<(), Problem> {
        let problem = match policy::decide(&self.principal, permission, workspace) {
            Decision::Allowed => return Ok(()),
            Decision::Hidden => Problem::not_found("there is nothing here"),
            Decision::Forbidden => {
                let name = permission.name();
                Problem::new(StatusCode::FORBIDDEN, "forbidden", format!("this needs the permission {name}"))
            }
        };
        let target = workspace.map_or_else(|| "platform".to_owned(), |id| id.to_string());
        refuse(app, self.actor(), permission.name(), &target, &self.request).await?;
        Err(problem)
    }

    /// The workspaces that the caller may see something of; none where it is all. Somebody who has just signed in has no
    /// workspace, and may see that; a token that may see nothing is refused.
    pub(super) async fn sees(&self, app: &App, permission: Permission) -> Result<Option<Vec<WorkspaceId>>, Problem> {
        match self.principal.signed_in {
            Some(_) => Ok(policy::within(&self.principal, permission)),
            None => self.may_somewhere(app, permission).await,
        }
    }

    /// The workspaces that the caller may do this to; none where it is all. Who may do it nowhere is refused.
    pub(super) async fn may_somewhere(
        &self,
        app: &App,
        permission: Permission,
    ) -> Result<Option<Vec<WorkspaceId>>, Problem> {
        let within = policy::within(&self.principal, permission);
        if within.as_ref().is_some_and(Vec::is_empty) {
            self.may(app, permission, None).await?;
        }
        Ok(within)
    }

    /// As whom the caller has a workspace suspended, or resumed.
    pub(super) fn suspender(&self) -> Suspender {
        match policy::decide(&self.principal, Permission::WorkspaceSuspend, None) {
            Decision::Allowed => Suspender::Operator,
            Decision::Forbidden | Decision::Hidden => Suspender::Customer,
        }
    }

    /// An audit entry of this caller's act in this request.
    pub(super) fn entry(&self, action: &str, target: impl Into<String>) -> Entry {
        Entry::new(self.actor(), action, target).request(&*self.request)
    }
}

/// Writes down that somebody was refused. A store that does not answer refuses them all the same.
///
/// Boxed, since those who are let on, nearly all, would carry the room for it with them.
fn refuse<'a>(app: &'a App, actor: &str, action: &str, target: &str, request: &str) -> BoxFuture<'a, Result<()>> {
    let entry = Entry::new(actor, action, target).outcome("refused").request(request);
    Box::pin(async move {
        match app.store().write(move |tx| Box::pin(entry.append(tx))).await {
            Err(error) if error.kind() != Kind::Unavailable => Err(error),
            _ => Ok(()),
        }
    })
}
