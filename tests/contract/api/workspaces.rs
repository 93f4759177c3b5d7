//! Workspaces, from one that is asked for to one that is gone.

use serde_json::json;
use stead::audit;
use stead::store::{Ability, Listed};

use super::{Api, ROOT};
use crate::{Kind, both};

both!(
    a_workspace_is_made_once_and_its_node_is_begun,
    what_cannot_be_made_is_told_with_the_way_out,
    lists_go_page_by_page,
    changes_know_what_they_change,
    one_that_is_deleted_ends_with_its_node,
);

async fn a_workspace_is_made_once_and_its_node_is_begun(kind: Kind) {
    let api = Api::start(kind).await;
    let body = json!({"slug": "acme", "tier": "starter", "name": "Acme Ltd"});
    let made = api.json(ROOT, "POST /v1/workspaces", "idempotency-key: k-1\r\n", &body).await;
    assert_eq!(made.status, 202, "{}", made.body);
    let begun = made.json();
    let id = begun["workspace"]["id"].as_str().unwrap();
    assert_eq!(made.header("location").unwrap(), format!("/v1/workspaces/{id}"));
    assert_eq!(
        (begun["workspace"]["state"].as_str(), begun["workflow"]["state"].as_str()),
        (Some("pending"), Some("queued"))
    );

    // The same again, and at the same time: nothing more is made.
    let again = || api.json(ROOT, "POST /v1/workspaces", "idempotency-key: k-1\r\n", &body);
    let (one, two) = tokio::join!(again(), again());
    for again in [one, two] {
        assert_eq!((again.status, again.json()), (202, begun.clone()));
        assert_eq!(again.header("idempotency-replayed").as_deref(), Some("true"));
    }
    let other = json!({"slug": "other", "tier": "starter"});
    let reused = api.json(ROOT, "POST /v1/workspaces", "idempotency-key: k-1\r\n", &other).await;
    assert_eq!((reused.status, reused.problem().as_str()), (422, "idempotency-key-reused"));
    let (one, two) = tokio::join!(
        api.json(ROOT, "POST /v1/workspaces", "idempotency-key: k-2\r\n", &other),
        api.json(ROOT, "POST /v1/workspaces", "idempotency-key: k-2\r\n", &other)
    );
    assert_eq!((one.status, two.status), (202, 202), "{} {}", one.body, two.body);
    assert_eq!(one.json(), two.json());

    let workflows = api.world.store.read().await.unwrap().workflows(Listed::All).await.unwrap();
    assert_eq!(workflows.len(), 2);
    assert_eq!((workflows[0].needs, workflows[0].host.as_deref()), (Some(Ability::Local), None));
    let shown = api.ask(ROOT, &format!("GET /v1/workspaces/{id}"), "").await;
    assert_eq!((shown.status, shown.header("etag").as_deref()), (200, Some("\"1\"")));
    assert_eq!(shown.json()["name"], "Acme Ltd");
    let entries = audit::list(&api.world.store, Some(id), 10).await.unwrap();
    let actions: Vec<_> = entries.iter().map(|entry| (entry.action.as_str(), entry.actor.as_str())).collect();
    assert_eq!(actions, [("workflow.enqueue", "local:test"), ("workspace.create", "token:root")]);
    assert!(entries[1].request_id.is_some());
}

async fn what_cannot_be_made_is_told_with_the_way_out(kind: Kind) {
    let api = Api::start(kind).await;
    api.workspace("acme").await;
    for (body, status, problem, says) in [
        (json!({"slug": "ACME", "tier": "starter"}), 422, "invalid", "not a legal name"),
        (json!({"slug": "acme", "tier": "starter"}), 409, "conflict", "there is a workspace named"),
        (json!({"slug": "declared", "tier": "starter"}), 409, "conflict", "files declare"),
        (json!({"slug": "www", "tier": "starter"}), 422, "invalid", "reserved"),
        (json!({"slug": "x", "tier": "none"}), 422, "invalid", "there are: brought, starter"),
        (json!({"slug": "x", "tier": "brought"}), 422, "invalid", "people bring"),
        (json!({"slug": "x"}), 422, "invalid", "missing field `tier`"),
        (json!({"slug": "x", "tier": "starter", "nmae": "y"}), 422, "invalid", "unknown field `nmae`"),
        (json!({"slug": "x", "tier": "starter", "name": "a\u{0}b"}), 422, "invalid", "visible"),
        (json!({"slug": "x", "tier": "starter", "name": "a".repeat(101)}), 422, "invalid", "100"),
        (json!({"slug": "a'; DROP TABLE workspaces; --", "tier": "starter"}), 422, "invalid", "not a legal name"),
        (json!({"slug": "{{ 7*7 }}", "tier": "starter"}), 422, "invalid", "not a legal name"),
    ] {
        let answer = api.json(ROOT, "POST /v1/workspaces", "", &body).await;
        assert_eq!((answer.status, answer.problem().as_str()), (status, problem), "{body}: {}", answer.body);
        assert!(answer.body.contains(says), "{body}: {}", answer.body);
    }
    assert_eq!(api.ask(ROOT, "GET /v1/workspaces", "").await.json()["items"].as_array().unwrap().len(), 1);
}

async fn lists_go_page_by_page(kind: Kind) {
    let api = Api::start(kind).await;
    let mut made = Vec::new();
    for slug in ["c", "a", "b"] {
        made.push(api.workspace(slug).await);
    }
    let (mut seen, mut query) = (Vec::new(), "?limit=2".to_owned());
    loop {
        let page = api.ask(ROOT, &format!("GET /v1/workspaces{query}"), "").await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?limit=2&cursor={next}");
    }
    assert_eq!(seen, made);
    let one = api.ask(ROOT, "GET /v1/workspaces?slug=A", "").await.json();
    assert_eq!(one["items"][0]["slug"], "a");
    assert_eq!(api.ask(ROOT, "GET /v1/workspaces?state=gone", "").await.json()["items"], json!([]));
    for wrong in ["limit=0", "limit=1000", "limit=x", "cursor=%00", "state=nothing", "cursor=d3NfMDE"] {
        let answer = api.ask(ROOT, &format!("GET /v1/workspaces?{wrong}"), "").await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "bad-request"), "{wrong}");
    }
    let workflows =
        api.ask(ROOT, &format!("GET /v1/workflows?subject={}&kind=provision&state=queued", made[0]), "").await;
    assert_eq!(workflows.json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(api.ask(ROOT, "GET /v1/nodes", "").await.json(), json!({"items": [], "next": null}));
}

async fn changes_know_what_they_change(kind: Kind) {
    let api = Api::start(kind).await;
    let path = format!("/v1/workspaces/{}", api.workspace("acme").await);
    let change = |headers: &'static str, name: &'static str| {
        let (api, path) = (&api, &path);
        async move { api.json(ROOT, &format!("PATCH {path}"), headers, &json!({"name": name})).await }
    };
    assert_eq!(change("", "A").await.problem(), "precondition-required");
    let changed = change("if-match: \"1\"\r\n", "A").await;
    assert_eq!((changed.status, changed.header("etag").as_deref()), (200, Some("\"2\"")));
    let late = change("if-match: \"1\"\r\n", "B").await;
    assert_eq!((late.status, late.problem().as_str()), (412, "precondition-failed"));
    assert_eq!(change("if-match: *\r\n", "").await.status, 422);
    assert_eq!(api.ask(ROOT, &format!("GET {path}"), "").await.json()["name"], "A");
    let (nowhere, body) = ("PATCH /v1/workspaces/ws_00000000000000000000000000", json!({"name": "x"}));
    assert_eq!(api.json(ROOT, nowhere, "if-match: *\r\n", &body).await.problem(), "not-found");
}

async fn one_that_is_deleted_ends_with_its_node(kind: Kind) {
    let api = Api::start(kind).await;
    let id = api.workspace("acme").await;
    let path = format!("/v1/workspaces/{id}");
    let late = api.ask(ROOT, &format!("DELETE {path}"), "if-match: \"9\"\r\n").await;
    assert_eq!(late.problem(), "precondition-failed");
    let begun = api.ask(ROOT, &format!("DELETE {path}"), "").await;
    assert_eq!((begun.status, begun.json()["workspace"]["state"].as_str()), (202, Some("deprovisioning")));
    let again = api.ask(ROOT, &format!("DELETE {path}"), "").await;
    assert_eq!(again.json()["workflow"]["id"], begun.json()["workflow"]["id"], "it is begun once");

    // Its provisioning was never begun, and is taken back first; then nothing is left but the record.
    let provision = api.world.store.read().await.unwrap().live_workflow("provision", &id).await.unwrap().unwrap();
    api.engine.turn_back(provision.id, "it is deleted").await.unwrap();
    api.engine.resume(1).await.unwrap();
    assert_eq!(api.ask(ROOT, &format!("GET {path}"), "").await.json()["state"], "gone");
    assert_eq!(api.ask(ROOT, &format!("DELETE {path}"), "").await.status, 404);
    api.workspace("acme").await;
}
