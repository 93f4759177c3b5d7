//! `POST /v1/sign-ins` and `POST /v1/sign-ins/confirm`: in by a mailed link.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::cookies;
use super::views::PersonView;
use crate::accounts::Email;
use crate::accounts::sign_in::{self, SignedIn};
use crate::api::extract::Body;
use crate::api::guard::RequestId;
use crate::api::limits::client;
use crate::api::{App, Problem};
use crate::id::SessionId;
use crate::notify::Mail;

/// For how many seconds the browser keeps the cookie of a link: as long as the link is good.
const KEPT: i64 = 600;
/// How much is kept of what a browser calls itself, in bytes.
const AGENT: usize = 200;

/// Who wants to sign in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    /// The mail address that the link goes to.
    #[schema(format = Email, max_length = 254, example = "ann@example.com")]
    email: String,
}

/// That a link is on its way, if there is to be one.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Asked {
    /// For how many seconds the link is good.
    expires_in: i64,
}

/// Mails a link to sign in with, and leaves a cookie with the browser that asks; known and unknown addresses are answered alike
#[utoipa::path(
    post,
    path = "/v1/sign-ins",
    tag = "accounts",
    request_body = Ask,
    responses(
        (status = 202, body = Asked, headers(("Set-Cookie" = String))),
        (status = 429, description = "The address was mailed to too often of late", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!(null))),
)]
pub(super) async fn ask(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let email = Email::parse(&body.json::<Ask>()?.email)?;
    app.limiter().sign_in(client(peer.ip(), &headers, &app.http().trusted_proxies), email.key())?;
    let mailer = app.mailer()?;
    let origin = app.origin()?;
    let (to, settings) = (email.as_str().to_owned(), app.accounts().clone());
    let asked = app.store().write(move |tx| Box::pin(async move { sign_in::ask(tx, &email, &settings).await })).await?;
    let asked = asked.ok_or_else(|| {
        let detail = "this address was sent many links in a short time";
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", detail)
            .hint("use the newest link, or ask again in a quarter of an hour")
            .retry_after(sign_in::WINDOW.num_seconds().unsigned_abs())
    })?;
    if let Some(link) = asked.link {
        // Behind the `#`, which browsers send to nobody and no log has.
        let link = Zeroizing::new(origin.url(&format!("/sign-in#{}", *link.word)));
        let text = Zeroizing::new(format!(
            "Hello,\n\nto sign in to Stead, open this link in the browser that you asked with:\n\n{}\n\n\
             It works once, within ten minutes, in that browser only. If you did not ask for it, do nothing.\n",
            *link
        ));
        // An answer that told of a full queue would tell known addresses from others.
        if let Err(error) = mailer.send(Mail { to, subject: "Sign in to Stead".into(), text, is_urgent: true }) {
            tracing::error!(error = error.one_line(), "a link was not mailed");
        }
    }
    let cookie = cookies::set(cookies::SIGN_IN, &asked.browser.word, KEPT);
    Ok((StatusCode::ACCEPTED, [(header::SET_COOKIE, cookie)], Json(Asked { expires_in: KEPT })).into_response())
}

/// A link that was mailed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Confirm {
    /// What stands behind the `#` of the link.
    token: String,
}

/// Who has signed in.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SignedInView {
    /// Who.
    person: PersonView,
    /// The session.
    #[schema(value_type = String, example = "sn_01jd8x1s3ve5fs9v2t5g7qk0mz")]
    session_id: SessionId,
}

/// Uses a mailed link up, from the browser that asked for it, and signs it in
#[utoipa::path(
    post,
    path = "/v1/sign-ins/confirm",
    tag = "accounts",
    request_body = Confirm,
    responses(
        (status = 201, body = SignedInView, headers(("Set-Cookie" = String))),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!(null))),
)]
pub(super) async fn confirm(
    State(app): State<App>,
    Extension(RequestId(request)): Extension<RequestId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let link = Zeroizing::new(body.json::<Confirm>()?.token);
    let wrong = || {
        let detail = "the link is wrong, was used, has ended, or was asked for in another browser";
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail).hint("ask for a new one in this browser")
    };
    let browser = cookies::read(&headers, cookies::SIGN_IN).map(Zeroizing::new).ok_or_else(wrong)?;
    // A page of another site has no business with links of ours.
    app.origin()?.check(&Method::POST, &headers)?;
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let agent = agent.map(|agent| agent.chars().take(AGENT).collect::<String>());
    let settings = app.accounts().clone();
    let confirmed = app.store().write(move |tx| {
        Box::pin(async move { sign_in::confirm(tx, &link, &browser, agent, &settings, &request).await })
    });
    let SignedIn { person, session, word } = confirmed.await?.ok_or_else(wrong)?;
    let lasts = (session.expires_at - session.created_at).num_seconds();
    let view = SignedInView { session_id: session.id, person: PersonView::from(person) };
    let mut response = (StatusCode::CREATED, Json(view)).into_response();
    response.headers_mut().append(header::SET_COOKIE, cookies::set(cookies::SESSION, &word.word, lasts));
    response.headers_mut().append(header::SET_COOKIE, cookies::unset(cookies::SIGN_IN));
    Ok(response)
}
