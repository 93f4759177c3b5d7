//! Tokens of operators and machines.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Caller;
use super::extract::{Body, Path, Query};
use super::once::{Created, once};
use super::page::Page;
use super::views::TokenView;
use super::{App, Problem};
use crate::Error;
use crate::accounts::policy::Permission;
use crate::accounts::session::Means;
use crate::accounts::{NewToken, issue};
use crate::clock::Timestamp;
use crate::id::{TokenId, WorkspaceId};
use crate::store::Role;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(revoke))
}

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewToken)]
struct New {
    /// What people call it.
    #[schema(min_length = 1, max_length = 100, example = "billing service")]
    name: String,
    /// `operator` or `support`; of a workspace `owner`, `admin`, `member` or `billing`.
    #[schema(value_type = String, example = "support")]
    role: Role,
    /// The workspace that it is for.
    #[schema(value_type = Option<String>)]
    workspace_id: Option<WorkspaceId>,
    /// What of that it is for: permissions, as `workspace.read` or `workflow.*`; all of it where this is empty.
    #[serde(default)]
    scopes: Vec<String>,
    /// When it ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// A token that was made. The token itself is shown here and never again.
#[derive(Debug, Serialize, ToSchema)]
struct NewTokenView {
    #[serde(flatten)]
    record: TokenView,
    /// The token; not in an answer that is given again.
    token: Option<String>,
}

/// Which tokens.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Those for this workspace; without it, those for the platform, or for all workspaces of whoever asks.
    #[param(value_type = Option<String>)]
    workspace_id: Option<WorkspaceId>,
}

/// Lists the platform's tokens, or a workspace's, without the tokens
#[utoipa::path(
    get,
    path = "/tokens",
    tag = "tokens",
    params(Filter),
    responses((status = 200, body = Page<TokenView>), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("token.read"))),
)]
async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(filter): Query<Filter>,
) -> Result<Json<Page<TokenView>>, Problem> {
    let within = caller.may_somewhere(&app, Permission::TokenRead).await?;
    let asked = match (filter.workspace_id, within) {
        (Some(id), _) => {
            caller.may(&app, Permission::TokenRead, Some(id)).await?;
            vec![Some(id)]
        }
        (None, None) => vec![None],
        (None, Some(within)) => within.into_iter().map(Some).collect(),
    };
    let (mut reader, mut tokens) = (app.store().read().await?, Vec::new());
    for workspace in asked {
        tokens.extend(reader.tokens(workspace).await?);
    }
    Ok(Json(Page { items: tokens.into_iter().map(TokenView::from).collect(), next: None }))
}

/// Makes a token; only this answer shows it
#[utoipa::path(
    post,
    path = "/tokens",
    tag = "tokens",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same request with the same key gives the same answer")),
    request_body = New,
    responses((status = 201, body = NewTokenView), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("token.manage"))),
)]
async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    // Who may make none at all learns nothing of what may be asked.
    caller.may_somewhere(&app, Permission::TokenManage).await?;
    let New { name, role, workspace_id, scopes, expires_at } = body.json()?;
    caller.may(&app, Permission::TokenManage, workspace_id).await?;
    // What it made would outlive the session that ends it.
    if caller.principal.signed_in.is_some_and(|signed_in| signed_in.means == Means::Program) {
        let detail = "a program that was let in makes no tokens";
        return Err(
            Problem::new(StatusCode::FORBIDDEN, "forbidden", detail).hint("make it in a browser, or with a token")
        );
    }
    let new = NewToken { name, role, workspace: workspace_id, scopes, expires_at };
    let by = caller.principal.clone();
    let created = once(&app, &caller, &headers, body.hash, move |tx| {
        Box::pin(async move {
            if let Some(id) = new.workspace
                && tx.workspace(id).await?.is_none()
            {
                return Err(Error::input(format!("there is no workspace {id}")));
            }
            let (record, token) = issue(tx, new, &by).await?;
            Ok(Created::new(StatusCode::CREATED, &TokenView::from(record))?.showing("token", token))
        })
    });
    created.await
}

/// Revokes a token, and those that were made with it, from this moment on
#[utoipa::path(
    delete,
    path = "/tokens/{id}",
    tag = "tokens",
    params(("id" = String, Path, description = "The token's id")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("token.manage"))),
)]
async fn revoke(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<TokenId>,
) -> Result<StatusCode, Problem> {
    let missing = || Problem::not_found(format!("there is no token {id} that is in use"));
    caller.may_somewhere(&app, Permission::TokenManage).await?;
    let token = app.store().read().await?.token(id).await?.ok_or_else(missing)?;
    // Others' tokens are not told from those that are not there.
    let may = caller.may(&app, Permission::TokenManage, token.workspace_id).await;
    may.map_err(|problem| if matches!(problem.status, 403 | 404) { missing() } else { problem })?;
    let revoked = app.store().write(move |tx| {
        Box::pin(async move {
            let revoked = tx.revoke_token(id).await?;
            if revoked {
                tx.revoke_tokens_by(&format!("token:{id}"), None).await?;
                caller.entry("token.revoke", id.to_string()).append(tx).await?;
            }
            Ok(revoked)
        })
    });
    match revoked.await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing()),
    }
}
