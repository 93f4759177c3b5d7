//! Who asks, and whether they may.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::guard::RequestId;
use super::{App, Problem};
use crate::accounts::policy::{self, Decision, Permission};
use crate::accounts::{self, Principal};
use crate::audit::Entry;
use crate::id::WorkspaceId;
use crate::{Kind, Result};

/// Who asks. [`authorize`] puts it into every request under `/v1`.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) principal: Principal,
    pub(super) request: String,
}

/// Lets nobody on who does not say who they are.
pub(super) async fn authorize(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    match identify(&app, request.headers(), &id).await {
        Ok(principal) => {
            request.extensions_mut().insert(Caller { principal, request: id });
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn identify(app: &App, headers: &HeaderMap, request: &str) -> Result<Principal, Problem> {
    let given = headers.get(header::AUTHORIZATION).map(|value| bearer(value.as_bytes()));
    let principal = match given {
        None => {
            let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "a token is needed");
            return Err(problem.hint("send the header `Authorization: Bearer TOKEN`"));
        }
        Some(Some(token)) if app.root().matches(token) => Some(Principal::root()),
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

    /// An audit entry of this caller's act in this request.
    pub(super) fn entry(&self, action: &str, target: impl Into<String>) -> Entry {
        Entry::new(self.actor(), action, target).request(&self.request)
    }
}

/// Writes down that somebody was refused. A store that does not answer refuses them all the same.
async fn refuse(app: &App, actor: &str, action: &str, target: &str, request: &str) -> Result<()> {
    let entry = Entry::new(actor, action, target).outcome("refused").request(request);
    match app.store().write(move |tx| Box::pin(entry.append(tx))).await {
        Err(error) if error.kind() != Kind::Unavailable => Err(error),
        _ => Ok(()),
    }
}
