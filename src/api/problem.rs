//! Errors as problem details for HTTP APIs (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::{Error, Kind};

/// An error's body: `application/problem+json`. Its type is `about:blank`, so the status says what kind it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The status in words.
    pub title: String,
    /// What went wrong with this request.
    pub detail: String,
    /// The way out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

impl Problem {
    /// A problem with this status.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            detail: detail.into(),
            hints: Vec::new(),
        }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl From<Error> for Problem {
    /// Input errors are told as they are; what failed inside is logged, and told without its causes, which are for
    /// operators.
    fn from(error: Error) -> Self {
        match error.kind() {
            Kind::Input => {
                Self { hints: error.hints().to_vec(), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()) }
            }
            Kind::Unavailable => {
                tracing::error!(error = error.one_line(), "the store does not answer");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "the store does not answer")
                    .hint("the same request again is safe; try in a moment")
            }
            Kind::Failed | Kind::Pending | Kind::Unreachable => {
                tracing::error!(error = error.one_line(), "a request failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the request failed inside Stead")
                    .hint("the log has the cause under this request's id")
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"stead\""));
        }
        response
    }
}
