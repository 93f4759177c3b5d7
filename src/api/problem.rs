//! Errors as problem details for HTTP APIs (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Error, Kind};

/// The kinds of problems, and what they mean.
pub(super) const KINDS: [(&str, &str); 15] = [
    ("bad-request", "The request is no HTTP, JSON or query that can be read, or lacks what it needs."),
    ("conflict", "What is there already stands in the way."),
    ("forbidden", "The token's role or scopes lack the permission that the problem names."),
    ("idempotency-key-reused", "The Idempotency-Key was used for another request within 24 hours."),
    ("internal", "The request failed inside Stead; the log has the cause under the request's id."),
    ("invalid", "The request can be read, and what it asks for makes no sense."),
    ("method-not-allowed", "The path does not take this method; `Allow` names those that it takes."),
    ("not-found", "There is nothing here, or nothing that the caller may know of."),
    ("precondition-failed", "It was changed since it was read: If-Match is not its ETag any more."),
    ("precondition-required", "The change must say which version it changes, by If-Match."),
    ("too-large", "The body is longer than this server takes."),
    ("too-many-requests", "Too many requests in a short time; `Retry-After` says when to ask again."),
    ("unauthenticated", "No token, a wrong one, or one that has ended."),
    ("unavailable", "The database does not answer, or no answer came in time. The same request again is safe."),
    ("unsupported-media-type", "The body is not JSON, or does not say so."),
];

/// An error's body: `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What kind of problem it is; stable, for programs. Relative to the API's address, where people find an explanation.
    #[serde(rename = "type")]
    #[schema(example = "/problems/not-found")]
    pub kind: String,
    /// The HTTP status.
    pub status: u16,
    /// The status in words.
    pub title: String,
    /// What went wrong with this request.
    pub detail: String,
    /// The way out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl Problem {
    /// A problem of a kind: the last part of its type.
    pub fn new(status: StatusCode, kind: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("/problems/{kind}"),
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            detail: detail.into(),
            hints: Vec::new(),
            retry_after: None,
        }
    }

    /// What was asked for is not there, or not for the caller to know.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", what)
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Says when the same request may go through, in seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }
}

impl From<Error> for Problem {
    /// Input errors are told as they are; what failed inside is logged, and told without its causes, which are for
    /// operators.
    fn from(error: Error) -> Self {
        let told = |status, kind| Self { hints: error.hints().to_vec(), ..Self::new(status, kind, error.to_string()) };
        match error.kind() {
            Kind::Input => told(StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            Kind::Conflict => told(StatusCode::CONFLICT, "conflict"),
            Kind::Unavailable => {
                tracing::error!(error = error.one_line(), "the store does not answer");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the store does not answer")
                    .hint("the same request again is safe")
                    .retry_after(2)
            }
            Kind::Failed | Kind::Pending | Kind::Unreachable => {
                tracing::error!(error = error.one_line(), "a request failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the request failed inside Stead")
                    .hint("the log has the cause under this request's id")
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let mut response = (status, axum::Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"stead\""));
        }
        response
    }
}
