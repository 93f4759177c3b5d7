//! What the API says went wrong (RFC 9457), as an error for whoever started the command.

use reqwest::StatusCode;
use serde::Deserialize;

use crate::{Error, Kind};

/// What of a problem's details is for people.
#[derive(Deserialize)]
struct Problem {
    detail: String,
    #[serde(default)]
    hints: Vec<String>,
}

/// The error that an answer stands for. An answer that is no problem is none of the API's: something stands before it.
pub(super) fn error(status: StatusCode, body: &[u8], request_id: Option<&str>) -> Error {
    let kind = match status.as_u16() {
        409 => Kind::Conflict,
        429 | 502..=504 => Kind::Unavailable,
        400..=499 => Kind::Input,
        _ => Kind::Failed,
    };
    let Ok(problem) = serde_json::from_slice::<Problem>(body) else {
        return Error::new(kind, format!("the server answered {status}, and not as the control API does"))
            .hint("something else may answer at that address: look at the reverse proxy in front of `stead serve`");
    };
    let error = problem.hints.into_iter().fold(Error::new(kind, problem.detail), Error::hint);
    match (status, request_id) {
        (StatusCode::UNAUTHORIZED, _) => error.hint("`stead login` again, where it has ended"),
        (status, Some(id)) if status.is_server_error() => error.hint(format!("the request's id is {id}")),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_told_as_they_are_and_what_is_none_is_told_as_that() {
        let body = br#"{"type": "/problems/conflict", "status": 409, "detail": "the slug is taken", "hints": ["choose another"]}"#;
        let told = error(StatusCode::CONFLICT, body, Some("r1"));
        assert_eq!(
            (told.kind(), told.to_string(), told.hints()),
            (Kind::Conflict, "the slug is taken".into(), &["choose another".to_owned()][..])
        );
        let told = error(StatusCode::INTERNAL_SERVER_ERROR, br#"{"detail": "it failed"}"#, Some("r1"));
        assert!(told.kind() == Kind::Failed && told.hints()[0].contains("r1"));
        let told = error(StatusCode::BAD_GATEWAY, b"<html>nginx</html>", None);
        assert!(told.kind() == Kind::Unavailable && told.hints()[0].contains("proxy"), "{told:?}");
    }
}
