//! `/v1/me`: one's own account.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::own_person;
use super::views::PersonView;
use crate::accounts::people;
use crate::accounts::policy::Permission;
use crate::api::caller::Caller;
use crate::api::conditional::{Expected, etag};
use crate::api::extract::Body;
use crate::api::workspaces::check_name;
use crate::api::{App, Problem};
use crate::id::WorkspaceId;
use crate::store::{Membership, Person};

/// One's own account.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Me {
    #[serde(flatten)]
    person: PersonView,
    /// What one is to which workspaces.
    workspaces: Vec<MembershipView>,
}

/// What somebody is to a workspace.
#[derive(Debug, Serialize, ToSchema)]
struct MembershipView {
    /// The workspace.
    #[schema(value_type = String)]
    workspace_id: WorkspaceId,
    /// Its slug.
    slug: String,
    /// `owner`, `admin`, `member` or `billing`.
    role: String,
}

/// Shows one's own account
#[utoipa::path(
    get,
    path = "/me",
    tag = "accounts",
    responses((status = 200, body = Me, headers(("ETag" = String))), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("account.self"))),
)]
pub(super) async fn show(State(app): State<App>, Extension(caller): Extension<Caller>) -> Result<Response, Problem> {
    caller.may(&app, Permission::AccountSelf, None).await?;
    let mut reader = app.store().read().await?;
    let person = own_person(&mut reader, caller.signed_in()?.person).await?;
    let view = |Membership { member, slug }: Membership| MembershipView {
        workspace_id: member.workspace_id,
        slug,
        role: member.role.to_string(),
    };
    let workspaces = reader.memberships(person.id).await?.into_iter().map(view).collect();
    let tag = etag(person.version);
    Ok(([(header::ETAG, tag)], Json(Me { person: person.into(), workspaces })).into_response())
}

/// What is to be another way.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccountChange)]
pub(super) struct Change {
    /// What one is called; null for nothing.
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
}

/// Changes one's own account
#[utoipa::path(
    patch,
    path = "/me",
    tag = "accounts",
    params(("If-Match" = String, Header, description = "The `ETag` of what you have read")),
    request_body = Change,
    responses((status = 200, body = PersonView, headers(("ETag" = String))), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("account.self"))),
)]
pub(super) async fn change(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::AccountSelf, None).await?;
    let expected = Expected::required(&headers)?;
    let Change { name } = body.json()?;
    check_name(name.as_deref())?;
    let id = caller.signed_in()?.person;
    let changed = app.store().write(move |tx| {
        Box::pin(async move {
            let person = own_person(tx, id).await?;
            if let Err(problem) = expected.check(person.version) {
                return Ok(Err(problem));
            }
            people::rename(tx, person, name, &caller.request).await.map(Ok)
        })
    });
    Ok(tagged(changed.await??))
}

/// A person with their tag.
pub(super) fn tagged(person: Person) -> Response {
    ([(header::ETAG, etag(person.version))], Json(PersonView::from(person))).into_response()
}
