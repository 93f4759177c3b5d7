//! `GET /sign-in`: where mailed links lead, and where one asks for them. One page that needs nothing but itself and the API.

use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("../pages/style.css");
const SCRIPT: &str = include_str!("../pages/sign-in.js");
const PAGE: &str = include_str!("../pages/sign-in.html");

/// The page. It may run and load nothing but what it holds, ask nobody but us, and tell nobody where it was.
pub(super) async fn sign_in() -> Response {
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
    let policy = format!(
        "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; \
         base-uri 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    let policy = HeaderValue::try_from(policy).expect("hashes and words are what a header may have");
    let page = PAGE.replace("{{ style }}", STYLE).replace("{{ script }}", SCRIPT);
    let headers =
        [(header::CONTENT_SECURITY_POLICY, policy), (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"))];
    (headers, Html(page)).into_response()
}
