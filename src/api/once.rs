//! Requests that create, answered once: the same request with the same `Idempotency-Key` gives the same answer
//! (draft-ietf-httpapi-idempotency-key-header).

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;

use super::caller::Caller;
use super::{App, Problem};
use crate::store::{Answer, Tx};
use crate::{Error, Result};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// How long an answer is kept, in hours.
const KEPT: i64 = 24;

/// What was created.
pub(super) struct Created {
    status: StatusCode,
    location: Option<String>,
    body: Value,
    /// Shown now, and not to those who ask again: a token.
    once: Option<(&'static str, zeroize::Zeroizing<String>)>,
}

impl Created {
    pub(super) fn new(status: StatusCode, body: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_value(body).map_err(|error| Error::failed("an answer").because(error))?;
        Ok(Self { status, location: None, body, once: None })
    }

    /// Where it is.
    pub(super) fn at(self, location: String) -> Self {
        Self { location: Some(location), ..self }
    }

    /// What only this answer shows.
    pub(super) fn showing(self, name: &'static str, value: zeroize::Zeroizing<String>) -> Self {
        Self { once: Some((name, value)), ..self }
    }

    fn respond(mut self, replayed: bool) -> Response {
        if let (Some((name, value)), Value::Object(body)) = (&self.once, &mut self.body) {
            body.insert((*name).to_owned(), Value::String(value.to_string()));
        }
        let mut response = (self.status, axum::Json(self.body)).into_response();
        if let Some(location) = self.location.and_then(|location| HeaderValue::try_from(location).ok()) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        if replayed {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// As [`once`], of what enqueues work: workers are told of it.
pub(super) async fn begin<F>(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    hash: String,
    act: F,
) -> Result<Response, Problem>
where
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<Created>> + Send + 'static,
{
    let answer = once(app, caller, headers, hash, act).await?;
    app.store().tell_of_work();
    Ok(answer)
}

/// Does `act` in one transaction, and keeps its answer under the caller's key, if they gave one; or gives the answer that was
/// kept. `hash` is that of the request.
pub(super) async fn once<F>(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    hash: String,
    act: F,
) -> Result<Response, Problem>
where
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<Created>> + Send + 'static,
{
    let Some(key) = key(headers)? else {
        return Ok(app.store().write(act).await?.respond(false));
    };
    if let Some(answer) = app.store().read().await?.answer(caller.actor(), &key).await? {
        return replay(answer, &hash);
    }
    let (principal, asked) = (caller.actor().to_owned(), key.clone());
    let request = hash.clone();
    let created = app.store().write(move |tx| {
        Box::pin(async move {
            let created = act(tx).await?;
            let answer = Answer {
                principal,
                key: asked,
                request,
                status: created.status.as_u16(),
                location: created.location.clone(),
                answer: created.body.clone(),
                expires_at: tx.now() + chrono::TimeDelta::hours(KEPT),
            };
            match tx.keep_answer(&answer).await? {
                true => Ok(created),
                // Taken back: the other one's act stands.
                false => Err(Error::conflict("the same request is being answered already")),
            }
        })
    });
    match created.await {
        Ok(created) => Ok(created.respond(false)),
        // It may be this very request, which another connection was quicker with.
        Err(error) => match app.store().read().await?.answer(caller.actor(), &key).await? {
            Some(answer) => replay(answer, &hash),
            None => Err(error.into()),
        },
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(&KEY) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim().trim_matches('"');
    if (1..=128).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_graphic()) {
        return Ok(Some(text.to_owned()));
    }
    let detail = "an Idempotency-Key has 1 to 128 visible characters of ASCII";
    Err(Problem::new(StatusCode::BAD_REQUEST, "bad-request", detail).hint("a UUID is a good one"))
}

fn replay(answer: Answer, hash: &str) -> Result<Response, Problem> {
    if answer.request != hash {
        let detail = "this Idempotency-Key was used for another request";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", detail)
            .hint("take a new key for a new request"));
    }
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    Ok(Created { status, location: answer.location, body: answer.answer, once: None }.respond(true))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_key_is_taken_as_it_is_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..140)) {
            let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
            let mut headers = HeaderMap::new();
            headers.insert(KEY, value);
            match key(&headers) {
                Ok(key) => prop_assert!(key.is_some_and(|key| (1..=128).contains(&key.len()) && key.is_ascii())),
                Err(problem) => prop_assert_eq!(problem.status, 400),
            }
        }

        #[test]
        fn a_key_in_quotes_is_the_same_key(text in "[!#-~]{1,128}") {
            for written in [text.clone(), format!("\"{text}\""), format!(" {text} ")] {
                let mut headers = HeaderMap::new();
                headers.insert(KEY, HeaderValue::from_str(&written).unwrap());
                let read = key(&headers).ok().flatten();
                prop_assert_eq!(read.as_ref(), Some(&text));
            }
        }
    }
}
