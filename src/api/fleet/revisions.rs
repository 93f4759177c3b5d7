//! `/v1/revisions`: what was published, and publishing more.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{App, Problem};
use crate::accounts::policy::Permission;
use crate::api::caller::Caller;
use crate::api::extract::Body;
use crate::api::once::{Created, once};
use crate::api::page::Page;
use crate::api::views::RevisionView;
use crate::fleet::FileSet;
use crate::fleet::files::MAX_BYTES;
use crate::id::FleetId;
use crate::store::{BlobKey, Blobs};
use crate::workflow::flows::{self, Desired};
use crate::{Error, Result};

/// Lists the revisions of the fleet's files, the latest first
#[utoipa::path(
    get,
    path = "/revisions",
    tag = "record",
    operation_id = "revisions",
    responses(
        (status = 200, body = Page<RevisionView>),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("revision.read"))),
)]
pub(super) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Page<RevisionView>>, Problem> {
    caller.may(&app, Permission::RevisionRead, None).await?;
    let revisions = app.store().read().await?.revisions().await?;
    Ok(Json(Page { items: revisions.into_iter().map(RevisionView::from).collect(), next: None }))
}

/// Files to be published.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRevision)]
pub(super) struct New {
    /// The hash of the archive of the fleet's files, which was put under `/v1/blobs` before.
    #[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
    archive: BlobKey,
}

/// Publishes the fleet's files, as `stead up` sends them
#[utoipa::path(
    post,
    path = "/revisions",
    tag = "fleet",
    operation_id = "publish_revision",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same request with the same key gives the same answer")),
    request_body = New,
    responses(
        (status = 200, description = "The latest revision has these very files", body = RevisionView),
        (status = 201, body = RevisionView),
        (status = 422, description = "There is a mistake in the files, or some are not kept yet", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("fleet.change"))),
)]
pub(super) async fn publish(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::FleetChange, None).await?;
    let New { archive } = body.json()?;
    let digest = look(app.store().blobs(), &archive, &app.platform().fleet_id).await?;
    let publisher = caller.clone();
    let published = once(&app, &caller, &headers, body.hash, move |tx| {
        Box::pin(async move {
            let entry = |action: &str, target: String| publisher.entry(action, target);
            let (revision, new) = flows::publish::publish(tx, &digest, &archive, publisher.actor(), &entry).await?;
            let status = if new { StatusCode::CREATED } else { StatusCode::OK };
            Created::new(status, &RevisionView::from(revision))
        })
    });
    published.await
}

/// Reads an archive as a worker will, and gives the files' digest: what could not be used is not published.
async fn look(blobs: &Blobs, archive: &BlobKey, fleet: &FleetId) -> Result<String> {
    let kept =
        |there: bool, what: &str, key: &BlobKey| match there {
            true => Ok(()),
            false => Err(Error::input(format!("{what} {key} is not kept here"))
                .hint(format!("put it first: PUT /v1/blobs/{key}"))),
        };
    kept(blobs.exists(archive).await?, "the archive", archive)?;
    // What an archive may hold, paths and lengths included; a blob may be much larger, and memory is not.
    if fs_err::metadata(blobs.local(archive).await?)?.len() > 2 * MAX_BYTES {
        return Err(Error::input("an archive of a fleet's files is not as large as that"));
    }
    let (bytes, place) = (blobs.get(archive).await?, blobs.clone());
    let read = move || {
        let lies = |hash: &str| hash.parse().map(|key| place.file(&key)).unwrap_or_default();
        // Whoever sent it is to mend it.
        let files = FileSet::from_bytes(&bytes, lies)
            .map_err(|error| Error::input("what was sent is no archive of a fleet's files").because(error))?;
        Desired::load(files)
    };
    let desired =
        tokio::task::spawn_blocking(read).await.map_err(|error| Error::failed("a background task").because(error))?;
    let desired = Arc::new(desired?);
    if desired.fleet.id != *fleet {
        return Err(Error::input(format!(
            "the files are those of the fleet {}, and this is {fleet}",
            desired.fleet.id
        )));
    }
    for (_, apart) in desired.files.apart() {
        let key: BlobKey = apart.hash.parse()?;
        kept(blobs.exists(&key).await?, "the content", &key)?;
    }
    Ok(desired.files.digest())
}
