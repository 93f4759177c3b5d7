//! `/v1/people`: who signs in, for the platform's operators.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::{Extension, Json};
use serde::{Deserialize, Deserializer};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::me::tagged;
use super::views::PersonView;
use crate::accounts::Email;
use crate::accounts::people::{self, PersonChange};
use crate::accounts::policy::Permission;
use crate::api::caller::Caller;
use crate::api::conditional::Expected;
use crate::api::extract::{Body, Path, Query};
use crate::api::page::{Page, PageParams};
use crate::api::{App, Problem};
use crate::id::PersonId;
use crate::store::{PersonPage, Role};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show, change))
}

/// Which people.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// The one with this mail address.
    email: Option<String>,
}

/// Lists people, in the order of their coming
#[utoipa::path(
    get,
    path = "/people",
    tag = "accounts",
    params(Filter, PageParams),
    responses((status = 200, body = Page<PersonView>), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("person.read"))),
)]
async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(filter): Query<Filter>,
    Query(page): Query<PageParams>,
) -> Result<Json<Page<PersonView>>, Problem> {
    caller.may(&app, Permission::PersonRead, None).await?;
    let email_key = filter.email.as_deref().map(Email::parse).transpose()?.map(|email| email.key().to_owned());
    let asked = PersonPage { after: page.after()?, email_key, limit: page.to_read()? };
    let read = app.store().read().await?.people_page(&asked).await?;
    Ok(Json(page.page(read, |person| person.id.to_string(), PersonView::from)))
}

/// Shows a person
#[utoipa::path(
    get,
    path = "/people/{id}",
    tag = "accounts",
    params(("id" = String, Path, description = "The person's id")),
    responses((status = 200, body = PersonView, headers(("ETag" = String))), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("person.read"))),
)]
async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<PersonId>,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::PersonRead, None).await?;
    let person = app.store().read().await?.person(id).await?;
    Ok(tagged(person.ok_or_else(|| missing(id))?))
}

/// What is to be another way; what is left out stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = PersonChange)]
struct Change {
    /// Whether they may do nothing: their sessions and the tokens that they made end at once.
    disabled: Option<bool>,
    /// What they are to the platform: `operator`, `support`, or null for nothing.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    role: Option<Option<Role>>,
}

/// What is given is something, even null.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Role>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Disables a person, or says what they are to the platform
#[utoipa::path(
    patch,
    path = "/people/{id}",
    tag = "accounts",
    params(
        ("id" = String, Path, description = "The person's id"),
        ("If-Match" = String, Header, description = "The `ETag` of what you have read"),
    ),
    request_body = Change,
    responses((status = 200, body = PersonView, headers(("ETag" = String))), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("person.manage"))),
)]
async fn change(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<PersonId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::PersonManage, None).await?;
    let expected = Expected::required(&headers)?;
    let Change { disabled, role } = body.json()?;
    let changed = app.store().write(move |tx| {
        Box::pin(async move {
            let Some(person) = tx.person(id).await? else { return Ok(Err(missing(id))) };
            if let Err(problem) = expected.check(person.version) {
                return Ok(Err(problem));
            }
            let change = PersonChange { disabled, role };
            people::change(tx, person, &change, &caller.principal, &caller.request).await.map(Ok)
        })
    });
    Ok(tagged(changed.await??))
}

fn missing(id: PersonId) -> Problem {
    Problem::not_found(format!("there is no person {id}"))
}
