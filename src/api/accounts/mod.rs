//! People over HTTP: signing in, sessions, members, invitations.

pub(super) mod cookies;
mod invitations;
pub mod logins;
mod me;
mod members;
pub(super) mod origin;
mod page;
mod people;
mod sessions;
mod sign_in;
pub mod views;

use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use crate::id::PersonId;
use crate::store::{Person, Reader};
use crate::{Error, Result};

/// What those who are signed in, and operators, ask.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(me::show, me::change))
        .merge(sessions::routes())
        .merge(logins::routes())
        .merge(people::routes())
        .merge(members::routes())
        .merge(invitations::routes())
}

/// What those who are not signed in yet ask.
pub(super) fn open_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(sign_in::ask))
        .routes(routes!(sign_in::confirm))
        .merge(logins::open_routes())
        .route("/sign-in", get(page::sign_in))
}

/// The record of somebody who is signed in.
async fn own_person(reader: &mut Reader, id: PersonId) -> Result<Person> {
    reader.person(id).await?.ok_or_else(|| Error::failed(format!("{id} is signed in, and not there")))
}
