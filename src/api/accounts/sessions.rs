//! `/v1/sessions`: where one is signed in.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::cookies;
use super::views::SessionView;
use crate::accounts::policy::Permission;
use crate::accounts::session::idle_since;
use crate::api::caller::Caller;
use crate::api::extract::Path;
use crate::api::page::Page;
use crate::api::{App, Problem};
use crate::id::SessionId;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(end))
}

/// Lists one's own sessions
#[utoipa::path(
    get,
    path = "/sessions",
    tag = "accounts",
    responses((status = 200, body = Page<SessionView>), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("account.self"))),
)]
async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Page<SessionView>>, Problem> {
    caller.may(&app, Permission::AccountSelf, None).await?;
    let own = caller.signed_in()?;
    let mut reader = app.store().read().await?;
    let idle = idle_since(reader.now(), app.accounts());
    let sessions = reader.sessions(own.person, idle).await?;
    let items = sessions.into_iter().map(|session| SessionView::new(session, own.session)).collect();
    Ok(Json(Page { items, next: None }))
}

/// Ends one of one's own sessions, from this moment on; `current` is the one that asks
#[utoipa::path(
    delete,
    path = "/sessions/{id}",
    tag = "accounts",
    params(("id" = String, Path, description = "The session's id, or `current`")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("account.self"))),
)]
async fn end(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::AccountSelf, None).await?;
    let own = caller.signed_in()?;
    let missing = || Problem::not_found(format!("you have no session {id} that is in use"));
    let session = if id == "current" { own.session } else { id.parse::<SessionId>().map_err(|_| missing())? };
    let ended = app.store().write(move |tx| {
        Box::pin(async move {
            let ended = tx.end_session(own.person, session).await?;
            if ended {
                let entry = caller.entry("session.end", own.person.to_string());
                entry.detail("session", session.to_string()).append(tx).await?;
            }
            Ok(ended)
        })
    });
    if !ended.await? {
        return Err(missing());
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    if session == own.session {
        response.headers_mut().append(header::SET_COOKIE, cookies::unset(cookies::SESSION));
    }
    Ok(response)
}
