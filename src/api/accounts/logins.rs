//! `/v1/logins`: programs that want to act for somebody, and whoever lets them.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::views::PersonView;
use crate::accounts::SignedInAs;
use crate::accounts::login::{self, Claimed, shown, typed};
use crate::accounts::policy::Permission;
use crate::accounts::session::Means;
use crate::api::caller::Caller;
use crate::api::extract::{Body, Path};
use crate::api::guard::RequestId;
use crate::api::limits::client;
use crate::api::{App, Problem};
use crate::clock::Timestamp;
use crate::id::SessionId;
use crate::store::Login;

/// How often, in seconds, a program may ask whether somebody has decided.
const INTERVAL: u64 = 2;
/// How long what a program calls itself may be, in characters.
const AGENT: usize = 200;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(allow)).routes(routes!(deny))
}

pub(super) fn open_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(ask)).routes(routes!(claim))
}

/// A program that wants to sign in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewLogin)]
struct Ask {
    /// What it calls itself, for whoever is to let it in: which program, on which machine.
    #[schema(max_length = 200, example = "stead 0.1.0 on laptop")]
    agent: Option<String>,
}

/// What whoever decides is shown, must not change how the rest of the page reads, as marks of direction do.
fn is_plain(c: char) -> bool {
    c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric()
}

/// What the program shows, and what it keeps to itself.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = LoginCode)]
pub struct Asked {
    /// What it keeps, and comes back with.
    pub device_code: String,
    /// What people type.
    #[schema(example = "BCDF-GHJK")]
    pub user_code: String,
    /// Where they type it.
    pub verification_uri: String,
    /// The same, with the code in it.
    pub verification_uri_complete: String,
    /// For how many seconds the code is good.
    pub expires_in: i64,
    /// After how many seconds to ask whether somebody has decided, and again.
    pub interval: u64,
}

/// Begins to sign a program in: it shows a code that somebody who is signed in types into their browser (after RFC 8628)
#[utoipa::path(
    post,
    path = "/v1/logins",
    operation_id = "post-logins",
    tag = "accounts",
    request_body = Ask,
    responses((status = 201, body = Asked), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!(null))),
)]
async fn ask(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Ask { agent } = body.json()?;
    if agent.as_ref().is_some_and(|agent| agent.chars().count() > AGENT || !agent.chars().all(is_plain)) {
        let detail = format!("agent: at most {AGENT} characters, of ASCII that can be seen, and letters");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail));
    }
    app.limiter().login(client(peer.ip(), &headers, &app.http().trusted_proxies))?;
    // Where nobody can sign in, nobody can let it in.
    app.mailer()?;
    let origin = app.origin()?;
    let asked = app.store().write(move |tx| Box::pin(login::ask(tx, agent))).await?;
    let user_code = shown(&asked.login.code);
    let asked = Asked {
        device_code: asked.device.word.to_string(),
        verification_uri: origin.url("/sign-in"),
        verification_uri_complete: origin.url(&format!("/sign-in?code={user_code}")),
        user_code,
        expires_in: login::GOOD_FOR.num_seconds(),
        interval: INTERVAL,
    };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(asked)).into_response())
}

/// What the program holds.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Claim {
    /// The `device_code` that it was given.
    device_code: String,
}

/// A program that is signed in.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct LoggedIn {
    /// Its token, shown this once.
    pub token: String,
    /// Whom it acts for.
    pub person: PersonView,
    /// The session, by which they may end it.
    #[schema(value_type = String, example = "sn_01jd8x1s3ve5fs9v2t5g7qk0mz")]
    pub session_id: SessionId,
    /// When it ends, used or not.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// Gives a program its token, once, when somebody has let it in; until then 202
#[utoipa::path(
    post,
    path = "/v1/logins/claim",
    operation_id = "post-logins-claim",
    tag = "accounts",
    request_body = Claim,
    responses(
        (status = 200, body = LoggedIn),
        (status = 202, description = "Nobody has decided yet", headers(("Retry-After" = u64))),
        (status = 403, description = "Somebody said no", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!(null))),
)]
async fn claim(
    State(app): State<App>,
    Extension(RequestId(request)): Extension<RequestId>,
    body: Body,
) -> Result<Response, Problem> {
    let device = Zeroizing::new(body.json::<Claim>()?.device_code);
    let settings = app.accounts().clone();
    let claimed =
        app.store().write(move |tx| Box::pin(async move { login::claim(tx, &device, &settings, &request).await }));
    match claimed.await? {
        Claimed::Waiting => Ok((StatusCode::ACCEPTED, [(header::RETRY_AFTER, INTERVAL)]).into_response()),
        Claimed::Denied => Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "the program was not let in")),
        Claimed::Over => {
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "the code has ended, or was used");
            Err(problem.hint("begin again"))
        }
        Claimed::SignedIn(signed_in) => {
            let answer = LoggedIn {
                token: signed_in.word.word.to_string(),
                session_id: signed_in.session.id,
                expires_at: signed_in.session.expires_at,
                person: PersonView::from(signed_in.person),
            };
            Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
        }
    }
}

/// A program that waits to be let in.
#[derive(Debug, Serialize, ToSchema)]
struct LoginView {
    /// Its code.
    #[schema(example = "BCDF-GHJK")]
    code: String,
    /// What it calls itself: its own words.
    agent: Option<String>,
    /// When it asked.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When the code ends.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl From<Login> for LoginView {
    fn from(login: Login) -> Self {
        let Login { code, agent, created_at, expires_at, .. } = login;
        Self { code: shown(&code), agent, created_at, expires_at }
    }
}

/// Shows the program that waits with a code
#[utoipa::path(
    get,
    path = "/logins/{code}",
    tag = "accounts",
    params(("code" = String, Path, description = "The code that the program shows")),
    responses((status = 200, body = LoginView), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("account.self"))),
)]
async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(code): Path<String>,
) -> Result<Json<LoginView>, Problem> {
    caller.may(&app, Permission::AccountSelf, None).await?;
    in_a_browser(&caller)?;
    let login = app.store().read().await?.open_login(&typed(&code)).await?.ok_or_else(nobody)?;
    Ok(Json(login.into()))
}

/// Lets the program that waits with a code act for oneself, until the session is ended
#[utoipa::path(
    post,
    path = "/logins/{code}/allow",
    tag = "accounts",
    params(("code" = String, Path, description = "The code that the program shows")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("account.self"))),
)]
async fn allow(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(code): Path<String>,
) -> Result<StatusCode, Problem> {
    decide(&app, &caller, &code, true).await
}

/// Turns the program that waits with a code away
#[utoipa::path(
    post,
    path = "/logins/{code}/deny",
    tag = "accounts",
    params(("code" = String, Path, description = "The code that the program shows")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("account.self"))),
)]
async fn deny(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(code): Path<String>,
) -> Result<StatusCode, Problem> {
    decide(&app, &caller, &code, false).await
}

async fn decide(app: &App, caller: &Caller, code: &str, allow: bool) -> Result<StatusCode, Problem> {
    caller.may(app, Permission::AccountSelf, None).await?;
    let SignedInAs { person, .. } = in_a_browser(caller)?;
    let (code, request) = (typed(code), caller.request.clone());
    let decided =
        app.store().write(move |tx| Box::pin(async move { login::decide(tx, &code, person, allow, &request).await }));
    if decided.await? { Ok(StatusCode::NO_CONTENT) } else { Err(nobody()) }
}

/// A program lets no other in: else one that was let in once could stay for ever.
fn in_a_browser(caller: &Caller) -> Result<SignedInAs, Problem> {
    let signed_in = caller.signed_in()?;
    match signed_in.means {
        Means::Browser => Ok(signed_in),
        Means::Program => {
            let detail = "programs are let in by somebody who sits before a browser";
            Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
        }
    }
}

fn nobody() -> Problem {
    Problem::not_found("no program waits with this code").hint("codes last ten minutes: let the program show a new one")
}
