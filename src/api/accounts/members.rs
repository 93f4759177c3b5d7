//! `/v1/workspaces/{id}/members`: what people are to a workspace.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::views::MemberView;
use crate::accounts::membership;
use crate::accounts::policy::Permission;
use crate::api::caller::Caller;
use crate::api::extract::{Body, Path};
use crate::api::page::Page;
use crate::api::{App, Problem};
use crate::id::{PersonId, WorkspaceId};
use crate::store::{NamedMember, Role};
use crate::{Error, Result};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(change, remove))
}

/// Lists a workspace's members
#[utoipa::path(
    get,
    path = "/workspaces/{id}/members",
    tag = "accounts",
    params(("id" = String, Path, description = "The workspace's id")),
    responses((status = 200, body = Page<MemberView>), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("member.read"))),
)]
async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<WorkspaceId>,
) -> Result<Json<Page<MemberView>>, Problem> {
    caller.may(&app, Permission::MemberRead, Some(id)).await?;
    let members = app.store().read().await?.named_members(id).await?;
    Ok(Json(Page { items: members.into_iter().map(MemberView::from).collect(), next: None }))
}

/// What a member is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MemberChange)]
struct Change {
    /// `admin`, `member` or `billing`.
    #[schema(value_type = String, example = "admin")]
    role: Role,
}

/// Changes what a member is; the owner changes by an invitation with the role `owner`
#[utoipa::path(
    patch,
    path = "/workspaces/{id}/members/{person}",
    tag = "accounts",
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("person" = String, Path, description = "The member's id"),
    ),
    request_body = Change,
    responses((status = 200, body = MemberView), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("member.manage"))),
)]
async fn change(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((id, person)): Path<(WorkspaceId, PersonId)>,
    body: Body,
) -> Result<Json<MemberView>, Problem> {
    caller.may(&app, Permission::MemberManage, Some(id)).await?;
    let Change { role } = body.json()?;
    let changed = app.store().write(move |tx| {
        Box::pin(async move {
            let Some(member) = membership::change(tx, id, person, role, &caller.principal).await? else {
                return Ok(None);
            };
            let entry = caller.entry("member.change", id.to_string()).detail("member", person.to_string());
            entry.detail("role", role.as_str()).append(tx).await?;
            let person = tx.person(person).await?.ok_or_else(|| Error::failed("a member is a person"))?;
            Ok(Some(MemberView::from(NamedMember { member, email: person.email, name: person.name })))
        })
    });
    changed.await?.map(Json).ok_or_else(|| missing(person))
}

/// Takes somebody out of a workspace, with the tokens that they made for it; anybody but the owner may go by themselves
#[utoipa::path(
    delete,
    path = "/workspaces/{id}/members/{person}",
    tag = "accounts",
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("person" = String, Path, description = "The member's id"),
    ),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("member.manage"))),
)]
async fn remove(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((id, person)): Path<(WorkspaceId, PersonId)>,
) -> Result<StatusCode, Problem> {
    if caller.principal.person() != Some(person) {
        caller.may(&app, Permission::MemberManage, Some(id)).await?;
    }
    let removed = app.store().write(move |tx| {
        Box::pin(async move {
            let removed = membership::remove(tx, id, person).await?;
            if removed {
                let entry = caller.entry("member.remove", id.to_string()).detail("member", person.to_string());
                entry.append(tx).await?;
            }
            Ok(removed)
        })
    });
    match removed.await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing(person)),
    }
}

fn missing(person: PersonId) -> Problem {
    Problem::not_found(format!("there is no member {person}"))
}
