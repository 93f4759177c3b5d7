//! What requests hold, typed; what does not fit is told as a problem.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::guard::too_large;
use super::{App, Problem};

/// A body. It is not looked at before [`Body::json`], so that who may not ask learns nothing of what may be asked.
pub(super) struct Body {
    bytes: Bytes,
    is_json: bool,
    /// Of what was asked, for those who ask it again.
    pub(super) hash: String,
}

impl FromRequest<App> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let kind =
            request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        let is_json = essence.eq_ignore_ascii_case("application/json");
        let mut hasher = Sha256::new();
        hasher.update(format!("{} {}\0", request.method(), request.uri()));
        let bytes = Bytes::from_request(request, app).await.map_err(|rejection| match rejection {
            BytesRejection::FailedToBufferBody(_) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                too_large(u64::from(app.http().body_kib) << 10)
            }
            other => Problem::new(StatusCode::BAD_REQUEST, "bad-request", other.body_text()),
        })?;
        hasher.update(&bytes);
        Ok(Self { bytes, is_json, hash: hex::encode(hasher.finalize()) })
    }
}

impl Body {
    /// What it says, as JSON (`application/json`).
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        if !self.is_json {
            let detail = "the body must be JSON";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail)
                .hint("send the header `Content-Type: application/json`"));
        }
        // To serde a list of a structure's fields is as good as the structure; nobody was told so.
        if self.bytes.trim_ascii_start().starts_with(b"[") {
            let detail = "the body: an object is expected, not a list";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail));
        }
        serde_json::from_slice(&self.bytes).map_err(|error| {
            let (status, kind) = match error.classify() {
                serde_json::error::Category::Data => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
                _ => (StatusCode::BAD_REQUEST, "bad-request"),
            };
            Problem::new(status, kind, format!("the body: {error}"))
        })
    }
}

/// A NUL in a path or a query. Nothing has one in its name, and PostgreSQL's text takes none.
const NUL: &str = "%00";

/// What stands in the path. An id that is none names nothing.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        if parts.uri.path().contains(NUL) {
            return Err(Problem::not_found("there is nothing here: no name has a NUL"));
        }
        match axum::extract::Path::from_request_parts(parts, app).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => {
                Err(Problem::not_found(format!("there is nothing here: {}", error.body_text())))
            }
            Err(other) => Err(Problem::new(StatusCode::BAD_REQUEST, "bad-request", other.body_text())),
        }
    }
}

/// What stands in the query.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        if parts.uri.query().is_some_and(|query| query.contains(NUL)) {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "bad-request", "the query: a NUL stands in it"));
        }
        let query = axum::extract::Query::from_request_parts(parts, app).await;
        query.map(|axum::extract::Query(value)| Self(value)).map_err(|rejection| {
            let detail = match rejection {
                QueryRejection::FailedToDeserializeQueryString(error) => error.body_text(),
                other => other.body_text(),
            };
            Problem::new(StatusCode::BAD_REQUEST, "bad-request", detail)
        })
    }
}
