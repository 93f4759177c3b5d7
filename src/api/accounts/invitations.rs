//! Invitations: a workspace's, and one's own.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::own_person;
use super::views::{InvitationView, MemberView};
use crate::accounts::policy::Permission;
use crate::accounts::{Email, membership};
use crate::api::caller::Caller;
use crate::api::extract::{Body, Path};
use crate::api::once::{Created, REPLAYED, once};
use crate::api::page::Page;
use crate::api::{App, Problem};
use crate::id::{InvitationId, WorkspaceId};
use crate::notify::Mail;
use crate::store::{InvitationState, NamedMember, Role};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(revoke))
        .routes(routes!(own))
        .routes(routes!(accept))
        .routes(routes!(decline))
}

/// Lists a workspace's invitations that wait for an answer
#[utoipa::path(
    get,
    path = "/workspaces/{id}/invitations",
    tag = "accounts",
    params(("id" = String, Path, description = "The workspace's id")),
    responses((status = 200, body = Page<InvitationView>), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("member.read"))),
)]
async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<WorkspaceId>,
) -> Result<Json<Page<InvitationView>>, Problem> {
    caller.may(&app, Permission::MemberRead, Some(id)).await?;
    let invitations = app.store().read().await?.invitations(id).await?;
    Ok(Json(Page { items: invitations.into_iter().map(InvitationView::from).collect(), next: None }))
}

/// Who is to become what.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewInvitation)]
struct New {
    /// Their mail address.
    #[schema(format = Email, max_length = 254, example = "ben@example.com")]
    email: String,
    /// `admin`, `member` or `billing`; `owner` offers them the workspace, and needs `workspace.transfer`.
    #[schema(value_type = String, example = "member")]
    role: Role,
}

/// Invites somebody to a workspace, by mail; who is invited already is invited anew
#[utoipa::path(
    post,
    path = "/workspaces/{id}/invitations",
    tag = "accounts",
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same request with the same key gives the same answer"),
    ),
    request_body = New,
    responses((status = 201, body = InvitationView), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("member.manage"))),
)]
async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<WorkspaceId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::MemberManage, Some(id)).await?;
    let New { email, role } = body.json()?;
    if role == Role::Owner {
        caller.may(&app, Permission::WorkspaceTransfer, Some(id)).await?;
    }
    let email = Email::parse(&email)?;
    let workspace = app.store().read().await?.workspace(id).await?;
    let workspace = workspace.ok_or_else(|| Problem::not_found(format!("there is no workspace {id}")))?;
    let (by, mail) = (caller.clone(), invitation_mail(&app, &email, &workspace.slug, role));
    let created = once(&app, &caller, &headers, body.hash, move |tx| {
        Box::pin(async move {
            let invitation = membership::invite(tx, id, &email, role, &by.principal).await?;
            let subject = invitation.id.to_string();
            let entry = by.entry("invitation.create", id.to_string()).detail("role", role.as_str());
            let entry = entry.detail("invitation", subject.as_str());
            entry.personal("email", subject, email.as_str()).append(tx).await?;
            Created::new(StatusCode::CREATED, &InvitationView::from(invitation))
        })
    });
    let created = created.await?;
    // Where no mail is sent, or it is lost, they see it when they sign in.
    if !created.headers().contains_key(REPLAYED)
        && let Ok(mailer) = app.mailer()
        && let Err(error) = mailer.send(mail)
    {
        tracing::warn!(error = error.one_line(), "an invitation was not mailed");
    }
    Ok(created)
}

/// What is mailed. Nothing in it was written by whoever invites, so that nobody's words are mailed in our name.
fn invitation_mail(app: &App, email: &Email, slug: &str, role: Role) -> Mail {
    let url = app.origin().map_or_else(|_| "Stead".to_owned(), |origin| origin.url("/sign-in"));
    let what = match role {
        Role::Owner => format!("You are offered the workspace {slug}"),
        role => format!("You are invited to the workspace {slug}, as {role}"),
    };
    let text = format!(
        "Hello,\n\n{what}, at {url}.\n\nSign in there with this mail address to accept or decline, within seven days. If you \
         know nobody there, do nothing.\n"
    );
    Mail {
        to: email.as_str().to_owned(),
        subject: format!("Stead: the workspace {slug}"),
        text: Zeroizing::new(text),
        is_urgent: false,
    }
}

/// Takes an invitation back
#[utoipa::path(
    delete,
    path = "/workspaces/{id}/invitations/{invitation}",
    tag = "accounts",
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("invitation" = String, Path, description = "The invitation's id"),
    ),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("member.manage"))),
)]
async fn revoke(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((id, invitation)): Path<(WorkspaceId, InvitationId)>,
) -> Result<StatusCode, Problem> {
    caller.may(&app, Permission::MemberManage, Some(id)).await?;
    let revoked = app.store().write(move |tx| {
        Box::pin(async move {
            let found = tx.invitation(invitation).await?.filter(|found| found.workspace_id == id);
            let Some(mut found) = found else { return Ok(false) };
            found.state = InvitationState::Revoked;
            let revoked = tx.answer_invitation(&found).await?;
            if revoked {
                let entry = caller.entry("invitation.revoke", id.to_string());
                entry.detail("invitation", invitation.to_string()).append(tx).await?;
            }
            Ok(revoked)
        })
    });
    match revoked.await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing(invitation)),
    }
}

/// Lists the invitations to oneself
#[utoipa::path(
    get,
    path = "/invitations",
    tag = "accounts",
    responses((status = 200, body = Page<InvitationView>), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("account.self"))),
)]
async fn own(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Page<InvitationView>>, Problem> {
    caller.may(&app, Permission::AccountSelf, None).await?;
    let mut reader = app.store().read().await?;
    let person = own_person(&mut reader, caller.signed_in()?.person).await?;
    let invitations = reader.invitations_to(&person.email_key).await?;
    Ok(Json(Page { items: invitations.into_iter().map(InvitationView::from).collect(), next: None }))
}

/// Accepts an invitation to oneself
#[utoipa::path(
    post,
    path = "/invitations/{id}/accept",
    tag = "accounts",
    params(("id" = String, Path, description = "The invitation's id")),
    responses((status = 200, body = MemberView), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("account.self"))),
)]
async fn accept(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<InvitationId>,
) -> Result<Json<MemberView>, Problem> {
    caller.may(&app, Permission::AccountSelf, None).await?;
    let (person, most) = (caller.signed_in()?.person, app.accounts().workspaces);
    let accepted = app.store().write(move |tx| {
        Box::pin(async move {
            let person = own_person(tx, person).await?;
            let member = membership::accept(tx, id, &person, most, &caller.request).await?;
            Ok(member.map(|member| MemberView::from(NamedMember { member, email: person.email, name: person.name })))
        })
    });
    accepted.await?.map(Json).ok_or_else(|| missing(id))
}

/// Declines an invitation to oneself
#[utoipa::path(
    post,
    path = "/invitations/{id}/decline",
    tag = "accounts",
    params(("id" = String, Path, description = "The invitation's id")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("account.self"))),
)]
async fn decline(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<InvitationId>,
) -> Result<StatusCode, Problem> {
    caller.may(&app, Permission::AccountSelf, None).await?;
    let person = caller.signed_in()?.person;
    let declined = app.store().write(move |tx| {
        Box::pin(async move {
            let person = own_person(tx, person).await?;
            membership::decline(tx, id, &person, &caller.request).await
        })
    });
    match declined.await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing(id)),
    }
}

fn missing(id: InvitationId) -> Problem {
    Problem::not_found(format!("there is no invitation {id} that waits for an answer"))
}
