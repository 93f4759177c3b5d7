//! Another node, asked for through the API.

use serde_json::{Value, json};
use stead::clock::{Clock, SystemClock};
use stead::store::{SecretState, WorkspaceState};

use super::secrets::{give, served};
use super::{Api, ROOT};
use crate::{Kind, both};

both!(a_rebuild_is_begun_once_and_no_secret_is_taken_meanwhile, a_secret_that_was_lost_says_so_until_it_is_given_again);

async fn rebuild(api: &Api, id: &str, headers: &str, body: Value) -> super::Answer {
    api.json(ROOT, &format!("POST /v1/workspaces/{id}/rebuild"), headers, &body).await
}

async fn a_rebuild_is_begun_once_and_no_secret_is_taken_meanwhile(kind: Kind) {
    let api = Api::start(kind).await;
    let bare = api.workspace("bare").await;
    assert_eq!(rebuild(&api, &bare, "", json!({})).await.problem(), "conflict");
    let (id, node, _) = served(&api, "acme").await;
    assert_eq!(rebuild(&api, &id, "", json!({"lose_date": true})).await.problem(), "invalid");
    let begun = rebuild(&api, &id, "idempotency-key: b-1\r\n", json!({})).await;
    assert_eq!(begun.status, 202, "{}", begun.body);
    let again = rebuild(&api, &id, "idempotency-key: b-1\r\n", json!({})).await;
    assert_eq!((again.json(), again.header("idempotency-replayed").as_deref()), (begun.json(), Some("true")));
    let workflow = begun.json()["workflow"].clone();
    assert_eq!((&workflow["kind"], &workflow["subject"]), (&json!("rebuild"), &json!(id)));
    assert_eq!(workflow["host"], json!(node.host), "it is for the host of the old node");
    let other = rebuild(&api, &id, "", json!({"lose_data": false})).await;
    assert_eq!(other.json()["workflow"]["id"], workflow["id"]);
    let loses = rebuild(&api, &id, "", json!({"lose_data": true})).await;
    assert_eq!(loses.problem(), "conflict");
    assert!(loses.body.contains("not over yet"), "{}", loses.body);
    let secret = give(&api, &id, "API_KEY", "x").await;
    assert!(secret.problem() == "conflict" && secret.body.contains("being replaced"), "{}", secret.body);
    let log = api.ask(ROOT, &format!("GET /v1/audit?target={id}"), "").await;
    assert!(log.body.contains("node.rebuild"), "{}", log.body);
    let shown = api.ask(ROOT, &format!("GET /v1/nodes/{}", node.id), "").await;
    assert_eq!(shown.json()["role"], "serving");

    // Of what the files declare, the values lie in a vault that only an operator opens.
    let (mut declared, mut node) = api.world.with_node("declared").await;
    (node.verified, node.recipient, declared.state) = (true, Some("age1x".into()), WorkspaceState::Ready);
    let id = declared.id.to_string();
    let written = api.world.store.write(move |tx| {
        Box::pin(async move {
            tx.update_node(&node).await?;
            tx.update_workspace(&declared).await
        })
    });
    written.await.unwrap();
    let loses = rebuild(&api, &id, "", json!({"lose_data": true})).await;
    assert!(loses.body.contains("stead node rebuild declared --lose-data"), "{}", loses.body);
    assert_eq!(rebuild(&api, &id, "", json!({})).await.status, 202);
}

async fn a_secret_that_was_lost_says_so_until_it_is_given_again(kind: Kind) {
    let api = Api::start(kind).await;
    let (id, node, _) = served(&api, "acme").await;
    give(&api, &id, "API_KEY", "first").await;
    let workspace = node.workspace_id;
    let lose = api.world.store.write(move |tx| {
        Box::pin(async move {
            let mut secret = tx.secret(workspace, "API_KEY").await?.unwrap();
            (secret.state, secret.node_id) = (SecretState::Delivered, Some(node.id));
            secret.lost_at = Some(SystemClock.now());
            assert!(!secret.is_in_use(), "no node holds it");
            tx.put_secret(&secret).await
        })
    });
    lose.await.unwrap();
    let state = async || {
        let listed = api.ask(ROOT, &format!("GET /v1/workspaces/{id}/secrets"), "").await.json();
        listed["items"][0]["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state().await, "lost");
    assert_eq!(give(&api, &id, "API_KEY", "second").await.status, 202);
    assert_eq!(state().await, "waiting");
}
