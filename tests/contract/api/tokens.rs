//! Tokens: shown once, for what they are for, until they end.

use serde_json::{Value, json};
use stead::audit;

use super::{Api, ROOT};
use crate::{Kind, both};

both!(
    a_token_is_shown_once_and_works_until_it_ends,
    a_token_does_what_it_is_for_and_nothing_else,
    what_makes_no_sense_is_refused,
    nobody_gives_away_what_they_do_not_have,
    a_workspaces_tokens_end_with_it,
);

async fn a_token_is_shown_once_and_works_until_it_ends(kind: Kind) {
    let api = Api::start(kind).await;
    let body = json!({"name": "monitoring", "role": "support"});
    let made = api.json(ROOT, "POST /v1/tokens", "idempotency-key: t\r\n", &body).await;
    let token = made.json()["token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("stead_") && token.len() == 49, "{token}");
    let again = api.json(ROOT, "POST /v1/tokens", "idempotency-key: t\r\n", &body).await;
    assert_eq!((again.status, &again.json()["token"]), (201, &Value::Null), "it was shown");
    let list = api.ask(ROOT, "GET /v1/tokens", "").await;
    assert!(!list.body.contains(&token) && !list.body.contains("hash"), "{}", list.body);
    assert_eq!(list.json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(list.json()["items"][0]["last_used_at"], Value::Null);

    assert_eq!(api.ask(&token, "GET /v1/nodes", "").await.status, 200);
    let used = api.ask(ROOT, "GET /v1/tokens", "").await.json();
    assert!(used["items"][0]["last_used_at"].is_string());
    let id = used["items"][0]["id"].as_str().unwrap();
    assert_eq!(api.ask(ROOT, &format!("DELETE /v1/tokens/{id}"), "").await.status, 204);
    assert_eq!(api.ask(ROOT, &format!("DELETE /v1/tokens/{id}"), "").await.status, 404);
    assert_eq!(api.ask(&token, "GET /v1/nodes", "").await.status, 401);

    let soon = chrono::Utc::now() + chrono::TimeDelta::milliseconds(700);
    let short = api.token(json!({"name": "short", "role": "support", "expires_at": soon})).await;
    assert_eq!(api.ask(&short, "GET /v1/nodes", "").await.status, 200);
    tokio::time::sleep(std::time::Duration::from_millis(800)).await;
    assert_eq!(api.ask(&short, "GET /v1/nodes", "").await.status, 401);
}

async fn a_token_does_what_it_is_for_and_nothing_else(kind: Kind) {
    let api = Api::start(kind).await;
    let (ours, theirs) = (api.workspace("ours").await, api.workspace("theirs").await);
    let member = api.token(json!({"name": "m", "role": "member", "workspace_id": ours})).await;
    let list = api.ask(&member, "GET /v1/workspaces", "").await.json();
    assert_eq!(list["items"].as_array().unwrap().iter().map(|item| &item["slug"]).collect::<Vec<_>>(), ["ours"]);
    assert_eq!(api.ask(&member, &format!("GET /v1/workspaces/{ours}"), "").await.status, 200);
    // Another's is not told from one that is not there.
    let hidden = api.ask(&member, &format!("GET /v1/workspaces/{theirs}"), "").await;
    let nothing = api.ask(&member, "GET /v1/workspaces/ws_00000000000000000000000000", "").await;
    assert_eq!((hidden.status, hidden.body), (404, nothing.body));
    assert_eq!(api.ask(&member, &format!("DELETE /v1/workspaces/{ours}"), "").await.problem(), "forbidden");
    assert_eq!(api.ask(&member, "GET /v1/nodes", "").await.problem(), "forbidden");
    let own = api.ask(&member, "GET /v1/workflows", "").await.json();
    assert_eq!(own["items"].as_array().unwrap().iter().map(|item| &item["subject"]).collect::<Vec<_>>(), [&ours]);
    let foreign = api.ask(&member, &format!("GET /v1/workflows?subject={theirs}"), "").await.json();
    assert_eq!(foreign["items"], json!([]));
    let all = api.ask(ROOT, "GET /v1/workflows", "").await.json();
    let of = |subject: &str| {
        let found = all["items"].as_array().unwrap().iter().find(|item| item["subject"] == subject);
        found.unwrap()["id"].as_str().unwrap().to_owned()
    };
    assert_eq!(api.ask(&member, &format!("GET /v1/workflows/{}", of(&ours)), "").await.status, 200);
    assert_eq!(api.ask(&member, &format!("GET /v1/workflows/{}", of(&theirs)), "").await.status, 404);

    let scoped = api.token(json!({"name": "s", "role": "operator", "scopes": ["workspace.read"]})).await;
    assert_eq!(api.ask(&scoped, &format!("GET /v1/workspaces/{theirs}"), "").await.status, 200);
    assert_eq!(api.ask(&scoped, &format!("DELETE /v1/workspaces/{theirs}"), "").await.problem(), "forbidden");

    // Refused attempts are on record, with who was refused what.
    let entries = audit::list(&api.world.store, Some(&theirs), 50).await.unwrap();
    let refused: Vec<_> =
        entries.iter().filter(|entry| entry.outcome == "refused").map(|entry| entry.action.as_str()).collect();
    assert_eq!(refused, ["workspace.read", "workflow.read", "workspace.delete"]);
}

async fn what_makes_no_sense_is_refused(kind: Kind) {
    let api = Api::start(kind).await;
    let ours = api.workspace("ours").await;
    for body in [
        json!({"name": "x", "role": "operator", "workspace_id": ours}),
        json!({"name": "x", "role": "member"}),
        json!({"name": "x", "role": "member", "workspace_id": "ws_00000000000000000000000000"}),
        json!({"name": "", "role": "support"}),
        json!({"name": "x", "role": "emperor"}),
        json!({"name": "x", "role": "support", "scopes": ["everything"]}),
        json!({"name": "x", "role": "support", "expires_at": "2020-01-01T00:00:00Z"}),
    ] {
        let answer = api.json(ROOT, "POST /v1/tokens", "", &body).await;
        assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid"), "{body}");
    }
    assert_eq!(api.ask(ROOT, "GET /v1/tokens", "").await.json()["items"], json!([]));
}

async fn nobody_gives_away_what_they_do_not_have(kind: Kind) {
    let api = Api::start(kind).await;
    let end = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    let scopes = json!(["token.manage", "workspace.*"]);
    let limited = api.token(json!({"name": "l", "role": "operator", "scopes": scopes, "expires_at": end})).await;
    let later = end + chrono::TimeDelta::seconds(1);
    for body in [
        json!({"name": "x", "role": "operator", "expires_at": end}),
        json!({"name": "x", "role": "operator", "scopes": ["audit.read"], "expires_at": end}),
        json!({"name": "x", "role": "operator", "scopes": ["workspace.*", "node.read"], "expires_at": end}),
        json!({"name": "x", "role": "operator", "scopes": ["workspace.read"]}),
        json!({"name": "x", "role": "operator", "scopes": ["workspace.read"], "expires_at": later}),
    ] {
        let refused = api.json(&limited, "POST /v1/tokens", "", &body).await;
        assert_eq!((refused.status, refused.problem().as_str()), (422, "invalid"), "{body}: {}", refused.body);
    }
    let less = json!({"name": "x", "role": "operator", "scopes": ["workspace.read"], "expires_at": end});
    assert_eq!(api.json(&limited, "POST /v1/tokens", "", &less).await.status, 201);
}

async fn a_workspaces_tokens_end_with_it(kind: Kind) {
    let api = Api::start(kind).await;
    let id = api.workspace("acme").await;
    let member = api.token(json!({"name": "m", "role": "owner", "workspace_id": id})).await;
    let list = api.ask(ROOT, &format!("GET /v1/tokens?workspace_id={id}"), "").await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(api.ask(&member, &format!("GET /v1/workspaces/{id}"), "").await.status, 200);
    let provision = api.world.store.read().await.unwrap().live_workflow("provision", &id).await.unwrap().unwrap();
    api.engine.turn_back(provision.id, "it is deleted").await.unwrap();
    assert_eq!(api.ask(&member, &format!("DELETE /v1/workspaces/{id}"), "").await.status, 202);
    api.engine.resume(1).await.unwrap();
    assert_eq!(api.ask(&member, &format!("GET /v1/workspaces/{id}"), "").await.status, 401);
    let gone = api.json(ROOT, &format!("PATCH /v1/workspaces/{id}"), "if-match: *\r\n", &json!({"name": "x"})).await;
    assert_eq!(gone.status, 404);
}
