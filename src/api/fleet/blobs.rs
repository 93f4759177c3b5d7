//! `/v1/blobs/{hash}`: what a revision is made of, before it is published.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::{Extension, Json};
use futures::{Stream, StreamExt};
use serde::Serialize;
use utoipa::ToSchema;

use super::{App, Problem};
use crate::accounts::policy::Permission;
use crate::api::caller::Caller;
use crate::api::extract::Path;
use crate::store::BlobKey;
use crate::{Error, Result};

/// The largest blob, in bytes: what an operator's fleet may hold in one file.
pub(in crate::api) const LARGEST: u64 = 16 << 30;
/// How long bringing one may take: some of them are large, and some lines slow.
pub(in crate::api) const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// Whether a request brings a blob, which may be larger, and take longer, than others.
pub(in crate::api) fn is_upload(method: &Method, route: Option<&str>) -> bool {
    method == Method::PUT && route == Some("/v1/blobs/{hash}")
}

/// A blob that is kept.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Blob)]
pub(super) struct View {
    /// The SHA-256 of its bytes, in hexadecimal.
    #[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
    hash: BlobKey,
}

/// Tells whether bytes with this hash are kept already
#[utoipa::path(
    get,
    path = "/blobs/{hash}",
    tag = "fleet",
    operation_id = "show_blob",
    params(("hash" = String, Path, description = "The SHA-256 of the bytes, in hexadecimal")),
    responses(
        (status = 200, body = View),
        (status = 404, description = "They are not kept", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("fleet.change"))),
)]
pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(hash): Path<BlobKey>,
) -> Result<Json<View>, Problem> {
    caller.may(&app, Permission::FleetChange, None).await?;
    match app.store().blobs().exists(&hash).await? {
        true => Ok(Json(View { hash })),
        false => Err(Problem::not_found("no bytes with this hash are kept")),
    }
}

/// Keeps bytes by their hash, for a revision that is published afterwards
#[utoipa::path(
    put,
    path = "/blobs/{hash}",
    tag = "fleet",
    operation_id = "put_blob",
    params(("hash" = String, Path, description = "The SHA-256 of the bytes, in hexadecimal")),
    request_body(content = String, content_type = "application/octet-stream", description = "The bytes, 16 GiB at most"),
    responses(
        (status = 204, description = "They are kept; where they were already, what is sent is not looked at"),
        (status = 422, description = "They have another hash", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("fleet.change"))),
)]
pub(super) async fn put(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(hash): Path<BlobKey>,
    body: Body,
) -> Result<StatusCode, Problem> {
    caller.may(&app, Permission::FleetChange, None).await?;
    app.store().blobs().put_stream(&hash, pieces(body)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A body as it comes, which may be larger than memory.
fn pieces(body: Body) -> impl Stream<Item = Result<Bytes>> {
    let mut length = 0;
    body.into_data_stream().map(move |piece| {
        let piece = piece.map_err(|error| Error::input("the body ended before it was whole").because(error))?;
        length += piece.len() as u64;
        if length > LARGEST { Err(Error::input("a blob has 16 GiB at most")) } else { Ok(piece) }
    })
}
