//! People: in by a mailed link, in the browser that asked, until they sign out; and what they are to workspaces.

use serde_json::{Value, json};
use stead::audit;
use stead::config::control::{Accounts, Mail, MailTls};

use super::{Answer, Api, MANY, ROOT, browser};
use crate::mail::Relay;
use crate::{Kind, World, both};

both!(
    a_link_signs_the_browser_in_that_asked_and_works_once,
    nobody_learns_whether_an_address_is_known,
    links_and_sessions_end,
    who_is_disabled_is_out_at_once,
    other_sites_do_nothing_in_ones_name,
    a_customer_comes_makes_a_workspace_and_asks_others_in,
    a_workspace_changes_hands_by_offer_and_consent,
    owners_make_tokens_for_their_workspace_and_no_other,
    links_are_mailed_over_tls_or_not_at_all,
);

const LINK: &str = "/sign-in#";

async fn mailing(kind: Kind, accounts: Accounts) -> (Api, Relay, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let relay = Relay::start(dir.path());
    let api = Api::mailing(kind, accounts, &relay.settings(MailTls::None)).await;
    (api, relay, dir)
}

/// Asks for a link: the browser's cookie.
async fn ask(api: &Api, email: &str) -> Answer {
    let asked = api.send_json("POST /v1/sign-ins", "", &json!({"email": email})).await;
    assert_eq!(asked.status, 202, "{}", asked.body);
    asked
}

fn token_in(mail: &str) -> String {
    let link = mail.lines().find(|line| line.contains(LINK)).unwrap_or_else(|| panic!("no link: {mail}"));
    link.split_once('#').unwrap().1.to_owned()
}

async fn confirm(api: &Api, cookie: Option<&str>, token: &str) -> Answer {
    let cookie = cookie.map(|cookie| format!("cookie: __Host-stead_sign_in={cookie}\r\n")).unwrap_or_default();
    let headers = format!("{cookie}origin: http://{}\r\nuser-agent: a browser\r\n", api.address);
    api.send_json("POST /v1/sign-ins/confirm", &headers, &json!({"token": token})).await
}

/// Signs somebody in by the mail that they get; their browser's headers.
async fn sign_in(api: &Api, relay: &Relay, email: &str, mails: usize) -> String {
    let cookie = ask(api, email).await.cookie("__Host-stead_sign_in").unwrap();
    let mail = relay.mails_to(email, mails).await.pop().unwrap();
    let confirmed = confirm(api, Some(&cookie), &token_in(&mail)).await;
    assert_eq!(confirmed.status, 201, "{}", confirmed.body);
    browser(&confirmed.cookie("__Host-stead_session").unwrap())
}

async fn a_link_signs_the_browser_in_that_asked_and_works_once(kind: Kind) {
    let (api, relay, _dir) = mailing(kind, Accounts::default()).await;
    let asked = ask(&api, "Ann@example.com").await;
    let cookie = asked.cookie("__Host-stead_sign_in").unwrap();
    for attribute in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Max-Age=600"] {
        assert!(asked.cookies[0].contains(attribute), "{:?}", asked.cookies);
    }
    let mail = relay.mails_to("Ann@example.com", 1).await.pop().unwrap();
    assert!(
        mail.contains("Auto-Submitted: auto-generated") && mail.contains("From: Stead <stead@example.com>"),
        "{mail}"
    );
    let token = token_in(&mail);
    // Only hashes are kept.
    if matches!(kind, Kind::Sqlite) {
        let store =
            ["store.db", "store.db-wal"].map(|file| std::fs::read(api.world.path(".stead").join(file)).unwrap());
        for secret in [&token, &cookie] {
            assert!(!store.iter().any(|bytes| bytes.windows(secret.len()).any(|part| part == secret.as_bytes())));
        }
    }

    // Whoever follows the link, a mail scanner say, gets a page that does nothing by itself.
    let page = api.raw("GET /sign-in", "").await;
    assert_eq!((page.status, page.header("referrer-policy").as_deref()), (200, Some("no-referrer")));
    assert!(page.header("content-security-policy").unwrap().contains("script-src 'sha256-"), "{}", page.head);
    assert!(!page.body.contains("{{"), "{}", page.body);
    // Nobody gets in with another browser, without one, or with another link; and the link is not used up by that.
    let other = ask(&api, "eve@example.com").await.cookie("__Host-stead_sign_in").unwrap();
    for (browser, link) in
        [(None, token.as_str()), (Some(other.as_str()), &token), (Some(&cookie), "x"), (Some(&cookie), "")]
    {
        let refused = confirm(&api, browser, link).await;
        assert_eq!((refused.status, refused.problem().as_str()), (422, "invalid"), "{}", refused.body);
        assert!(refused.cookies.is_empty());
    }
    let confirmed = confirm(&api, Some(&cookie), &token).await;
    assert_eq!(confirmed.status, 201, "{}", confirmed.body);
    let session = confirmed.cookie("__Host-stead_session").unwrap();
    assert_eq!(confirmed.cookie("__Host-stead_sign_in").as_deref(), Some(""), "it has done its work");
    assert_eq!(confirm(&api, Some(&cookie), &token).await.status, 422, "a link works once");

    let ann = browser(&session);
    let me = api.raw("GET /v1/me", &ann).await;
    assert_eq!(
        (me.status, &me.json()["email"], &me.json()["workspaces"]),
        (200, &json!("Ann@example.com"), &json!([]))
    );
    assert!(!me.body.contains("hash"));
    // The same person, however the address is written.
    let again = sign_in(&api, &relay, "ann@EXAMPLE.com", 1).await;
    assert_eq!(api.raw("GET /v1/me", &again).await.json()["id"], me.json()["id"]);
    let changed = api.send_json("PATCH /v1/me", &format!("{ann}if-match: *\r\n"), &json!({"name": "Ann \u{c5}"})).await;
    assert_eq!((changed.status, &changed.json()["name"]), (200, &json!("Ann \u{c5}")));
    let stale = api.send_json("PATCH /v1/me", &format!("{ann}if-match: \"1\"\r\n"), &json!({"name": "x"})).await;
    assert_eq!(stale.problem(), "precondition-failed");

    // The log knows who came, and not by which address.
    let log = api.ask(ROOT, &format!("GET /v1/audit?target={}", me.json()["id"].as_str().unwrap()), "").await;
    for action in ["person.create", "session.begin", "person.rename"] {
        assert!(log.body.contains(action), "{}", log.body);
    }
    assert!(!log.body.contains("@example.com"), "{}", log.body);
    audit::seal(&api.world.store).await.unwrap();
    assert_eq!(audit::verify(&api.world.store).await.unwrap().broken, None);
}

async fn nobody_learns_whether_an_address_is_known(kind: Kind) {
    let closed = Accounts { sign_up: false, ..Accounts::default() };
    let (api, relay, _dir) = mailing(kind, closed).await;
    let workspace = api.workspace("acme").await;
    api.person("known@example.com", None, None).await;
    let invite = json!({"email": "invited@example.com", "role": "member"});
    let path = format!("POST /v1/workspaces/{workspace}/invitations");
    assert_eq!(api.json(ROOT, &path, "", &invite).await.status, 201);
    let shape = |answer: &Answer| {
        let mut names: Vec<String> =
            answer.head.lines().filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect();
        names.sort();
        (answer.status, answer.body.clone(), names, answer.cookies[0].len())
    };
    let mut shapes = Vec::new();
    for email in ["known@example.com", "unknown@example.com", "invited@example.com"] {
        shapes.push(shape(&ask(&api, email).await));
    }
    assert!(shapes.iter().all(|other| *other == shapes[0]), "{shapes:?}");
    relay.mails_to("known@example.com", 1).await;
    // The invitation, and the link.
    relay.mails_to("invited@example.com", 2).await;
    assert!(!relay.all().iter().any(|mail| mail.contains("unknown@example.com")));
    for wrong in ["nobody", "a@b", "\u{212a}im@example.com", "a@example.com\r\nbcc: b@example.com"] {
        let refused = api.send_json("POST /v1/sign-ins", "", &json!({"email": wrong})).await;
        assert_eq!(refused.problem(), "invalid", "{wrong}");
    }
    for _ in 0..4 {
        ask(&api, "known@example.com").await;
    }
    let many = api.send_json("POST /v1/sign-ins", "", &json!({"email": "known@example.com"})).await;
    assert_eq!(many.problem(), "too-many-requests", "{}", many.body);
    assert!(many.header("retry-after").unwrap().parse::<u64>().unwrap() <= 181);
    // Whoever did that has not shut anybody else out.
    ask(&api, "unknown@example.com").await;
}

async fn links_and_sessions_end(kind: Kind) {
    let (api, relay, _dir) = mailing(kind, Accounts::default()).await;
    let cookie = ask(&api, "ann@example.com").await.cookie("__Host-stead_sign_in").unwrap();
    let late = token_in(&relay.mails_to("ann@example.com", 1).await[0]);
    api.world.meddle("UPDATE sign_ins SET expires_at = '2020-01-01T00:00:00.000Z'").await;
    assert_eq!(confirm(&api, Some(&cookie), &late).await.status, 422);

    let first = sign_in(&api, &relay, "ann@example.com", 2).await;
    let second = sign_in(&api, &relay, "ann@example.com", 3).await;
    let eve = sign_in(&api, &relay, "eve@example.com", 1).await;
    let sessions = api.raw("GET /v1/sessions", &first).await.json();
    let sessions = sessions["items"].as_array().unwrap();
    assert_eq!(sessions.iter().map(|session| &session["current"]).collect::<Vec<_>>(), [true, false]);
    assert_eq!(sessions[0]["agent"], "a browser");
    let other = sessions[1]["id"].as_str().unwrap();
    assert_eq!(api.raw(&format!("DELETE /v1/sessions/{other}"), &eve).await.status, 404, "it is not hers");
    assert_eq!(api.raw("GET /v1/me", &second).await.status, 200);
    assert_eq!(api.raw(&format!("DELETE /v1/sessions/{other}"), &first).await.status, 204);
    assert_eq!(api.raw("GET /v1/me", &second).await.problem(), "unauthenticated");

    // Another browser's cookie is not taken over by whoever signs in with it.
    let headers = format!("cookie: __Host-stead_session=planted\r\norigin: http://{}\r\n", api.address);
    let asked = ask(&api, "ben@example.com").await.cookie("__Host-stead_sign_in").unwrap();
    let token = token_in(&relay.mails_to("ben@example.com", 1).await[0]);
    let headers = format!("{headers}cookie: __Host-stead_sign_in={asked}\r\n");
    let confirmed = api.send_json("POST /v1/sign-ins/confirm", &headers, &json!({"token": token})).await;
    assert_eq!(confirmed.status, 201, "{}", confirmed.body);
    assert_ne!(confirmed.cookie("__Host-stead_session").unwrap(), "planted");
    assert_eq!(api.raw("GET /v1/me", &browser("planted")).await.status, 401);

    let out = api.raw("DELETE /v1/sessions/current", &first).await;
    assert_eq!((out.status, out.cookie("__Host-stead_session").as_deref()), (204, Some("")));
    assert_eq!(api.raw("GET /v1/me", &first).await.status, 401);
    api.world.meddle("UPDATE sessions SET used_at = '2020-01-01T00:00:00.000Z'").await;
    assert_eq!(api.raw("GET /v1/me", &eve).await.status, 401, "it was not used for long");
    api.world.meddle("UPDATE sessions SET used_at = '2099-01-01T00:00:00.000Z'").await;
    assert_eq!(api.raw("GET /v1/me", &eve).await.status, 200);
    api.world.meddle("UPDATE sessions SET expires_at = '2020-01-01T00:00:00.000Z'").await;
    assert_eq!(api.raw("GET /v1/me", &eve).await.status, 401, "it is too old");
}

async fn who_is_disabled_is_out_at_once(kind: Kind) {
    let (api, relay, _dir) = mailing(kind, Accounts::default()).await;
    let ann = sign_in(&api, &relay, "ann@example.com", 1).await;
    let me = api.raw("GET /v1/me", &ann).await.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/people/{me}");
    let set = async |body: Value| api.json(ROOT, &format!("PATCH {path}"), "if-match: *\r\n", &body).await;
    assert_eq!(set(json!({"role": "owner"})).await.problem(), "invalid");
    assert_eq!(set(json!({"role": "operator"})).await.json()["role"], "operator");
    assert_eq!(api.raw("GET /v1/nodes", &ann).await.status, 200, "she runs the platform now");
    let alone =
        api.send_json(&format!("PATCH {path}"), &format!("{ann}if-match: *\r\n"), &json!({"disabled": true})).await;
    assert_eq!(alone.problem(), "conflict", "nobody locks themselves out");
    let made = api.send_json("POST /v1/tokens", &ann, &json!({"name": "t", "role": "support"})).await;
    let token = made.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(api.ask(&token, "GET /v1/nodes", "").await.status, 200);

    assert_eq!(set(json!({"disabled": true})).await.json()["disabled"], true);
    assert_eq!(api.raw("GET /v1/me", &ann).await.status, 401);
    assert_eq!(api.ask(&token, "GET /v1/nodes", "").await.status, 401, "what she made ends with her");
    // She is answered as everybody is, and no mail comes.
    let cookie = ask(&api, "ann@example.com").await.cookie("__Host-stead_sign_in").unwrap();
    ask(&api, "ben@example.com").await;
    relay.mails_to("ben@example.com", 1).await;
    assert_eq!(relay.mails_to("ann@example.com", 1).await.len(), 1);
    assert_eq!(confirm(&api, Some(&cookie), "x").await.status, 422);

    set(json!({"disabled": false, "role": null})).await;
    assert_eq!(api.raw("GET /v1/me", &ann).await.status, 401, "the old session stays ended");
    let back = sign_in(&api, &relay, "ann@example.com", 2).await;
    assert_eq!(api.raw("GET /v1/nodes", &back).await.status, 403);
    let found = api.ask(ROOT, "GET /v1/people?email=ANN@example.com", "").await.json();
    assert_eq!(found["items"][0]["id"], json!(me));
}

async fn other_sites_do_nothing_in_ones_name(kind: Kind) {
    let api = Api::start(kind).await;
    let ann = api.person("ann@example.com", None, None).await;
    let cookie = ann.lines().next().unwrap();
    let body = json!({"slug": "acme", "tier": "starter"});
    let sites = [
        String::new(),
        "sec-fetch-site: cross-site\r\n".into(),
        "sec-fetch-site: same-site\r\n".into(),
        "origin: https://evil.example\r\n".into(),
        "origin: null\r\n".into(),
        format!("origin: http://{}.evil.example\r\n", api.address),
    ];
    for site in sites {
        let refused = api.send_json("POST /v1/workspaces", &format!("{cookie}\r\n{site}"), &body).await;
        assert_eq!(refused.problem(), "forbidden", "{site}");
    }
    // Reading needs no such word: no answer is readable for other sites.
    let read = api.raw("GET /v1/me", &format!("{cookie}\r\norigin: https://evil.example\r\n")).await;
    assert!(read.status == 200 && read.header("access-control-allow-origin").is_none());
    let own = format!("{cookie}\r\norigin: http://{}\r\n", api.address);
    assert_eq!(api.send_json("POST /v1/workspaces", &own, &body).await.status, 202);
    // Two cookies of one name: one of them is somebody else's.
    let two = format!("cookie: __Host-stead_session=x; {}\r\n", cookie.split_once(": ").unwrap().1);
    assert_eq!(api.raw("GET /v1/me", &two).await.status, 401);
}

async fn a_customer_comes_makes_a_workspace_and_asks_others_in(kind: Kind) {
    let (api, relay, _dir) = mailing(kind, Accounts { workspaces: 1, ..Accounts::default() }).await;
    let ann = sign_in(&api, &relay, "ann@example.com", 1).await;
    assert_eq!(api.raw("GET /v1/workspaces", &ann).await.json()["items"], json!([]));
    let body = json!({"slug": "acme", "tier": "starter"});
    let made = api.send_json("POST /v1/workspaces", &ann, &body).await;
    assert_eq!(made.status, 202, "{}", made.body);
    let id = made.json()["workspace"]["id"].as_str().unwrap().to_owned();
    let more = api.send_json("POST /v1/workspaces", &ann, &json!({"slug": "more", "tier": "starter"})).await;
    assert_eq!(more.problem(), "conflict", "{}", more.body);
    let given = api.workspace("given").await;
    let offer = json!({"email": "ann@example.com", "role": "owner"});
    let offered = api.json(ROOT, &format!("POST /v1/workspaces/{given}/invitations"), "", &offer).await.json();
    let accept = format!("POST /v1/invitations/{}/accept", offered["id"].as_str().unwrap());
    assert_eq!(api.raw(&accept, &ann).await.problem(), "conflict", "nor are more taken over");
    let other = api.workspace("other").await;
    let seen = api.raw("GET /v1/workspaces", &ann).await.json();
    assert_eq!(seen["items"].as_array().unwrap().iter().map(|item| &item["slug"]).collect::<Vec<_>>(), ["acme"]);
    let subjects = api.raw("GET /v1/workflows", &ann).await.json();
    assert_eq!(
        subjects["items"].as_array().unwrap().iter().map(|item| &item["subject"]).collect::<Vec<_>>(),
        [&json!(id)]
    );
    assert_eq!(api.raw(&format!("GET /v1/workspaces/{other}"), &ann).await.status, 404);
    assert_eq!(api.raw(&format!("GET /v1/workspaces/{other}/members"), &ann).await.status, 404);

    let invitations = format!("/v1/workspaces/{id}/invitations");
    let invite = async |who: &str, email: &str, role: &str| {
        api.send_json(&format!("POST {invitations}"), who, &json!({"email": email, "role": role})).await
    };
    assert_eq!(invite(&ann, "ben@example.com", "operator").await.problem(), "invalid");
    assert_eq!(invite(&ann, "ben@example.com", "member").await.status, 201);
    let again = invite(&ann, "Ben@example.com", "admin").await;
    assert_eq!(again.status, 201, "who is invited is invited anew: {}", again.body);
    let mail = relay.mails_to("Ben@example.com", 1).await.pop().unwrap();
    assert!(mail.contains("acme, as admin") && !mail.contains(LINK), "{mail}");
    let eve = sign_in(&api, &relay, "eve@example.com", 1).await;
    let ben = sign_in(&api, &relay, "ben@example.com", 2).await;
    let waiting = api.raw("GET /v1/invitations", &ben).await.json();
    assert_eq!(waiting["items"].as_array().unwrap().len(), 1, "{waiting}");
    let accept = format!("POST /v1/invitations/{}/accept", waiting["items"][0]["id"].as_str().unwrap());
    assert_eq!(api.raw(&accept, &eve).await.status, 404, "it is not to her");
    let old = format!("POST /v1/invitations/{}/accept", again.json()["id"].as_str().unwrap());
    assert_eq!(old, accept);
    let accepted = api.raw(&accept, &ben).await;
    assert_eq!((accepted.status, &accepted.json()["role"]), (200, &json!("admin")), "{}", accepted.body);
    assert_eq!(api.raw(&accept, &ben).await.status, 404, "once");
    assert_eq!(invite(&ann, "ben@example.com", "member").await.problem(), "conflict", "he is one already");

    // An admin asks people in, and cannot give the workspace away.
    assert_eq!(invite(&ben, "eve@example.com", "billing").await.status, 201);
    assert_eq!(invite(&ben, "eve@example.com", "owner").await.problem(), "forbidden");
    let declined = api.raw("GET /v1/invitations", &eve).await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(api.raw(&format!("POST /v1/invitations/{declined}/decline"), &eve).await.status, 204);
    assert_eq!(api.raw(&format!("GET /v1/workspaces/{id}"), &eve).await.status, 404);
    let back = invite(&ben, "eve@example.com", "billing").await.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(api.raw(&format!("DELETE {invitations}/{back}"), &ben).await.status, 204);
    assert_eq!(api.raw(&format!("POST /v1/invitations/{back}/accept"), &eve).await.status, 404, "it was taken back");

    let members = api.raw(&format!("GET /v1/workspaces/{id}/members"), &ben).await.json();
    let members = members["items"].as_array().unwrap();
    assert_eq!(members.iter().map(|member| &member["role"]).collect::<Vec<_>>(), ["owner", "admin"]);
    let [owner, admin] = [0, 1].map(|at| members[at]["person_id"].as_str().unwrap().to_owned());
    let member = |person: &str| format!("/v1/workspaces/{id}/members/{person}");
    let lower = api.send_json(&format!("PATCH {}", member(&admin)), &ann, &json!({"role": "member"})).await;
    assert_eq!((lower.status, &lower.json()["role"]), (200, &json!("member")));
    assert_eq!(api.raw(&format!("DELETE {}", member(&owner)), &ben).await.problem(), "forbidden");
    assert_eq!(api.raw(&format!("DELETE {}", member(&owner)), &ann).await.problem(), "conflict", "owners stay");
    assert_eq!(api.raw(&format!("DELETE {}", member(&admin)), &ben).await.status, 204, "he goes by himself");
    assert_eq!(api.raw(&format!("GET /v1/workspaces/{id}"), &ben).await.status, 404);
}

async fn a_workspace_changes_hands_by_offer_and_consent(kind: Kind) {
    let api = Api::start(kind).await;
    let id = api.workspace("acme").await;
    let ann = api.person("ann@example.com", None, Some((&id, "owner"))).await;
    let ben = api.person("ben@example.com", None, Some((&id, "member"))).await;
    let eve = api.person("eve@example.com", None, None).await;
    let offer = async |who: &str, email: &str| {
        let body = json!({"email": email, "role": "owner"});
        let made = api.send_json(&format!("POST /v1/workspaces/{id}/invitations"), who, &body).await;
        assert_eq!(made.status, 201, "{}", made.body);
        format!("POST /v1/invitations/{}/accept", made.json()["id"].as_str().unwrap())
    };
    let roles = async || {
        let members = api.ask(ROOT, &format!("GET /v1/workspaces/{id}/members"), "").await.json();
        let role =
            |member: &Value| format!("{}: {}", member["email"].as_str().unwrap(), member["role"].as_str().unwrap());
        members["items"].as_array().unwrap().iter().map(role).collect::<Vec<_>>().join(", ")
    };
    let (to_ben, to_eve) = (offer(&ann, "ben@example.com").await, offer(&ann, "eve@example.com").await);
    assert_eq!(api.raw(&to_ben, &ben).await.status, 200);
    assert_eq!(roles().await, "ann@example.com: admin, ben@example.com: owner");
    let hers = api.raw("GET /v1/me", &ann).await.json()["workspaces"].clone();
    assert_eq!(hers, json!([{"workspace_id": id, "slug": "acme", "role": "admin"}]));
    // What she offered twice, she has no more.
    assert_eq!(api.raw(&to_eve, &eve).await.problem(), "conflict");
    let by_token = api.token(json!({"name": "t", "role": "owner", "workspace_id": id})).await;
    let body = json!({"email": "eve@example.com", "role": "owner"});
    let refused = api.json(&by_token, &format!("POST /v1/workspaces/{id}/invitations"), "", &body).await;
    assert_eq!(refused.problem(), "conflict", "a token gives no workspace away");
    // What is held to scopes, or ends, gives nobody a role, which has neither.
    let body = json!({"name": "t", "role": "admin", "workspace_id": id, "scopes": ["member.manage"]});
    let scoped = api.token(body).await;
    let body = json!({"email": "eve@example.com", "role": "admin"});
    let refused = api.json(&scoped, &format!("POST /v1/workspaces/{id}/invitations"), "", &body).await;
    assert_eq!(refused.problem(), "conflict", "{}", refused.body);
    // Two accept at the same moment: one owner.
    let of_platform = format!("authorization: Bearer {ROOT}\r\n");
    let (to_ann, to_eve) = (offer(&of_platform, "ann@example.com").await, offer(&of_platform, "eve@example.com").await);
    let (one, two) = tokio::join!(api.raw(&to_ann, &ann), api.raw(&to_eve, &eve));
    assert!([one.status, two.status].contains(&200), "{} {}", one.body, two.body);
    assert_eq!(roles().await.matches("owner").count(), 1, "{}", roles().await);
}

async fn owners_make_tokens_for_their_workspace_and_no_other(kind: Kind) {
    let api = Api::start(kind).await;
    let (ours, theirs) = (api.workspace("ours").await, api.workspace("theirs").await);
    let foreign = api.token(json!({"name": "f", "role": "member", "workspace_id": theirs})).await;
    let ann = api.person("ann@example.com", None, Some((&ours, "owner"))).await;
    let make = async |body: Value| api.send_json("POST /v1/tokens", &ann, &body).await;
    assert_eq!(make(json!({"name": "t", "role": "operator"})).await.problem(), "forbidden");
    assert_eq!(make(json!({"name": "t", "role": "member", "workspace_id": theirs})).await.problem(), "not-found");
    let made = make(json!({"name": "t", "role": "member", "workspace_id": ours})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let token = made.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(api.ask(&token, &format!("GET /v1/workspaces/{ours}"), "").await.status, 200);
    let listed = api.raw("GET /v1/tokens", &ann).await.json();
    assert_eq!(listed["items"].as_array().unwrap().iter().map(|item| &item["name"]).collect::<Vec<_>>(), ["t"]);
    let all = api.ask(ROOT, &format!("GET /v1/tokens?workspace_id={theirs}"), "").await.json();
    let not_hers = format!("DELETE /v1/tokens/{}", all["items"][0]["id"].as_str().unwrap());
    assert_eq!(api.raw(&not_hers, &ann).await.status, 404);
    assert_eq!(api.ask(&foreign, &format!("GET /v1/workspaces/{theirs}"), "").await.status, 200);
    // Whoever gives the workspace away leaves no token there, nor one that was made with one.
    let owners = make(json!({"name": "o", "role": "owner", "workspace_id": ours})).await.json();
    let body = json!({"name": "s", "role": "owner", "workspace_id": ours});
    let second = api.json(owners["token"].as_str().unwrap(), "POST /v1/tokens", "", &body).await.json();
    let second = second["token"].as_str().unwrap().to_owned();
    assert_eq!(api.ask(&second, &format!("GET /v1/workspaces/{ours}"), "").await.status, 200);
    let offer = json!({"email": "ben@example.com", "role": "owner"});
    let offered = api.send_json(&format!("POST /v1/workspaces/{ours}/invitations"), &ann, &offer).await.json();
    let ben = api.person("ben@example.com", None, None).await;
    let accepted = api.raw(&format!("POST /v1/invitations/{}/accept", offered["id"].as_str().unwrap()), &ben).await;
    assert_eq!(accepted.status, 200, "{}", accepted.body);
    let me = api.raw("GET /v1/me", &ann).await.json()["id"].as_str().unwrap().to_owned();
    // She is an admin now, and what she made as the owner, and what was made with that, has ended.
    assert_eq!(api.ask(&token, &format!("GET /v1/workspaces/{ours}"), "").await.status, 401);
    assert_eq!(api.ask(&second, &format!("GET /v1/workspaces/{ours}"), "").await.status, 401);
    assert_eq!(api.raw(&format!("DELETE /v1/workspaces/{ours}/members/{me}"), &ben).await.status, 204);
}

async fn links_are_mailed_over_tls_or_not_at_all(kind: Kind) {
    let dir = tempfile::tempdir().unwrap();
    let relay = Relay::with_tls(dir.path());
    let settings = relay.settings(MailTls::Starttls);
    let api = Api::mailing(kind, Accounts::default(), &settings).await;
    sign_in(&api, &relay, "ann@example.com", 1).await;
    // Whoever sits on the path and has no certificate of the authority that is named gets nothing.
    let distrusting = Api::mailing(kind, Accounts::default(), &Mail { ca_file: None, ..settings }).await;
    ask(&distrusting, "ben@example.com").await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(!relay.all().iter().any(|mail| mail.contains("ben@example.com")));
    // A server that sends no mail says so.
    let silent = Api::over(World::new(kind).await, stead::config::control::Http::default(), MANY).await;
    let refused = silent.send_json("POST /v1/sign-ins", "", &json!({"email": "ann@example.com"})).await;
    assert_eq!((refused.status, refused.problem().as_str()), (503, "unavailable"));
}
