//! Programs that act for somebody who let them in, in a browser, by a code.

use serde_json::json;
use stead::api::accounts::logins::LoggedIn;
use stead::client::{self, Client};
use stead::config::control::{Accounts, Mail};
use stead::redact::Secret;

use super::{Answer, Api, ROOT, bearer, browser};
use crate::mail::Relay;
use crate::{Kind, both};

both!(
    a_program_is_let_in_by_whoever_sits_before_a_browser,
    who_is_turned_away_or_comes_late_gets_nothing,
    no_program_lets_another_in,
    the_commands_client_waits_until_it_is_let_in,
    without_mail_nobody_can_let_a_program_in,
);

async fn api(kind: Kind) -> (Api, Relay, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let relay = Relay::start(dir.path());
    let settings = relay.settings(stead::config::control::MailTls::None);
    (Api::mailing(kind, Accounts::default(), &settings).await, relay, dir)
}

/// The two codes: the program's own, and the one that people type.
async fn begin(api: &Api) -> (String, String) {
    let asked = api.send_json("POST /v1/logins", "", &json!({"agent": "stead on laptop"})).await;
    assert_eq!((asked.status, asked.header("cache-control").as_deref()), (201, Some("no-store")), "{}", asked.body);
    let asked = asked.json();
    let code = asked["user_code"].as_str().unwrap().to_owned();
    let complete = asked["verification_uri_complete"].as_str().unwrap();
    assert!(complete.ends_with(&format!("/sign-in?code={code}")), "{complete}");
    (asked["device_code"].as_str().unwrap().to_owned(), code)
}

async fn claim(api: &Api, device: &str) -> Answer {
    api.send_json("POST /v1/logins/claim", "", &json!({"device_code": device})).await
}

async fn a_program_is_let_in_by_whoever_sits_before_a_browser(kind: Kind) {
    let (api, _relay, _dir) = api(kind).await;
    let ann = api.person("ann@example.com", None, None).await;
    let (device, code) = begin(&api).await;
    let waiting = claim(&api, &device).await;
    assert_eq!((waiting.status, waiting.header("retry-after").as_deref(), waiting.body.as_str()), (202, Some("2"), ""));
    // However it is typed.
    let typed = code.to_lowercase().replace('-', "");
    let seen = api.raw(&format!("GET /v1/logins/{typed}"), &ann).await.json();
    assert_eq!((&seen["code"], &seen["agent"]), (&json!(code), &json!("stead on laptop")));
    assert!(!seen.to_string().contains(&device));
    // A page of another site lets nobody in.
    let forged = ann.replace("same-origin", "cross-site");
    assert_eq!(api.raw(&format!("POST /v1/logins/{code}/allow"), &forged).await.status, 403);
    assert_eq!(claim(&api, &device).await.status, 202);
    assert_eq!(api.raw(&format!("POST /v1/logins/{code}/allow"), &ann).await.status, 204);
    assert_eq!(api.raw(&format!("POST /v1/logins/{code}/allow"), &ann).await.status, 404, "it is decided");
    let claimed = claim(&api, &device).await;
    assert_eq!(claimed.status, 200, "{}", claimed.body);
    let claimed = claimed.json();
    assert_eq!(claimed["person"]["email"], "ann@example.com");
    assert_eq!(claim(&api, &device).await.status, 422, "a code gives one session");

    let program = bearer(claimed["token"].as_str().unwrap());
    let me = api.raw("GET /v1/me", &program).await;
    assert_eq!((me.status, &me.json()["email"]), (200, &json!("ann@example.com")));
    // It sends no cookies, so no page can send them in its name: changes need no origin.
    let changed = api.send_json("PATCH /v1/me", &format!("{program}if-match: *\r\n"), &json!({"name": "Ann"})).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    // Its word is no cookie, and a cookie is no token.
    let as_cookie = browser(claimed["token"].as_str().unwrap());
    assert_eq!(api.raw("GET /v1/me", &as_cookie).await.status, 401);
    let cookie = ann.split(['=', '\r']).nth(1).unwrap();
    assert_eq!(api.raw("GET /v1/me", &bearer(cookie)).await.status, 401);
    // It is one of Ann's sessions, and she ends it.
    let sessions = api.raw("GET /v1/sessions", &ann).await.json();
    let own = |session: &&serde_json::Value| session["id"] == claimed["session_id"];
    let session = sessions["items"].as_array().unwrap().iter().find(own).unwrap();
    assert_eq!((&session["agent"], &session["current"]), (&json!("stead on laptop"), &json!(false)));
    let end = format!("DELETE /v1/sessions/{}", claimed["session_id"].as_str().unwrap());
    assert_eq!(api.raw(&end, &ann).await.status, 204);
    assert_eq!(api.raw("GET /v1/me", &program).await.status, 401);
    let log = api.ask(ROOT, "GET /v1/audit?limit=200", "").await.body;
    assert!(log.contains("login.allow") && log.contains("session.end"), "{log}");
    assert!(!log.contains(&code) && !log.contains(&code.replace('-', "")) && !log.contains("laptop"), "{log}");
}

async fn who_is_turned_away_or_comes_late_gets_nothing(kind: Kind) {
    let (api, _relay, _dir) = api(kind).await;
    let ann = api.person("ann@example.com", None, None).await;
    let (device, code) = begin(&api).await;
    assert_eq!(api.raw(&format!("POST /v1/logins/{code}/deny"), &ann).await.status, 204);
    let denied = claim(&api, &device).await;
    assert_eq!((denied.status, denied.problem().as_str()), (403, "forbidden"));
    // Ended while nobody decided, and after somebody did.
    let ((late, late_code), (allowed, allowed_code)) = (begin(&api).await, begin(&api).await);
    assert_eq!(api.raw(&format!("POST /v1/logins/{allowed_code}/allow"), &ann).await.status, 204);
    api.world.meddle("UPDATE logins SET expires_at = created_at").await;
    for device in [&late, &allowed] {
        assert_eq!(claim(&api, device).await.status, 422);
    }
    for how in ["allow", "deny"] {
        assert_eq!(api.raw(&format!("POST /v1/logins/{late_code}/{how}"), &ann).await.status, 404);
    }
    // Who was disabled in between.
    let (device, code) = begin(&api).await;
    assert_eq!(api.raw(&format!("POST /v1/logins/{code}/allow"), &ann).await.status, 204);
    api.world.meddle("UPDATE people SET disabled_at = created_at").await;
    assert_eq!(claim(&api, &device).await.status, 403);
    for wrong in ["", "x", "BCDF-GHJK"] {
        assert_eq!(claim(&api, wrong).await.status, 422, "{wrong}");
    }
    let long = json!({"agent": "x".repeat(201)});
    for agent in [long, json!({"agent": "a\u{7}b"}), json!({"agent": "a\u{202e}b"})] {
        assert_eq!(api.send_json("POST /v1/logins", "", &agent).await.status, 422);
    }
}

async fn no_program_lets_another_in(kind: Kind) {
    let (api, _relay, _dir) = api(kind).await;
    let ann = api.person("ann@example.com", None, None).await;
    let (device, code) = begin(&api).await;
    assert_eq!(api.raw(&format!("POST /v1/logins/{code}/allow"), &ann).await.status, 204);
    let program = bearer(claim(&api, &device).await.json()["token"].as_str().unwrap());
    // Nor does it make what would outlive its session.
    let workspace = api.workspace("ours").await;
    api.world.meddle("UPDATE people SET role = 'operator'").await;
    let token = json!({"name": "t", "role": "owner", "workspace_id": workspace});
    assert_eq!(api.send_json("POST /v1/tokens", &program, &token).await.status, 403);
    assert_eq!(api.send_json("POST /v1/tokens", &ann, &token).await.status, 201);
    let (device, code) = begin(&api).await;
    for headers in [&program, &bearer(ROOT)] {
        assert_eq!(api.raw(&format!("GET /v1/logins/{code}"), headers).await.status, 403);
        assert_eq!(api.raw(&format!("POST /v1/logins/{code}/allow"), headers).await.status, 403);
    }
    assert_eq!(claim(&api, &device).await.status, 202, "nobody has decided");
}

async fn without_mail_nobody_can_let_a_program_in(kind: Kind) {
    let api = Api::mailing(kind, Accounts::default(), &Mail::default()).await;
    let refused = api.send_json("POST /v1/logins", "", &json!({})).await;
    assert_eq!((refused.status, refused.problem().as_str()), (503, "unavailable"));
    assert!(refused.body.contains("mail.host"), "{}", refused.body);
}

async fn the_commands_client_waits_until_it_is_let_in(kind: Kind) {
    let (api, _relay, _dir) = api(kind).await;
    let ann = api.person("ann@example.com", None, None).await;
    let server = Client::new(&format!("http://{}", api.address), None, None).unwrap();
    let code = client::begin(&server, "stead on laptop").await.unwrap();
    let request = format!("POST /v1/logins/{}/allow", code.user_code);
    let (logged_in, allowed) = tokio::join!(client::wait::<LoggedIn>(&server, &code), api.raw(&request, &ann));
    let logged_in = logged_in.unwrap();
    assert_eq!((allowed.status, logged_in.person.email.as_str()), (204, "ann@example.com"));
    let token = Secret::new(logged_in.token.into_bytes());
    let known = Client::new(server.address(), Some(&token), None).unwrap();
    let me: serde_json::Value = known.get("/v1/me").await.unwrap();
    assert_eq!(me["email"], "ann@example.com");
    known.end("/v1/sessions/current").await.unwrap();
    let error = known.get::<serde_json::Value>("/v1/me").await.unwrap_err();
    assert!(error.kind() == stead::Kind::Input && error.hints().iter().any(|hint| hint.contains("stead login")));
    // Somebody says no.
    let code = client::begin(&server, "stead on laptop").await.unwrap();
    assert_eq!(api.raw(&format!("POST /v1/logins/{}/deny", code.user_code), &ann).await.status, 204);
    let denied = client::wait::<LoggedIn>(&server, &code).await.err().unwrap();
    assert!(denied.to_string().contains("not let in"), "{denied:?}");
}
