//! Secrets through the API: sealed for the node before anything is written, and never shown.

use age::x25519::Identity;
use serde_json::{Value, json};
use stead::clock::{Clock, SystemClock};
use stead::id::WorkspaceId;
use stead::store::{Node, WorkspaceState};
use stead::wire::envelope::{Envelope, Payload};

use super::{Api, ROOT};
use crate::{Kind, both};

both!(
    another_identity_is_begun_once,
    without_a_node_nothing_is_taken,
    a_value_is_sealed_for_the_node_and_kept_nowhere,
    a_secret_is_removed_and_comes_back_newer
);

const VALUE: &str = "sk-planted-in-the-request-7f3a";

/// A workspace with a node that is ready, and the node's identity.
pub(super) async fn served(api: &Api, slug: &str) -> (String, Node, Identity) {
    let id = api.workspace(slug).await;
    let (workspace_id, identity): (WorkspaceId, _) = (id.parse().unwrap(), Identity::generate());
    let mut node = Node::new(&api.world.fleet, workspace_id, "local", "local", SystemClock.now());
    (node.recipient, node.verified, node.host) = (Some(identity.to_public().to_string()), true, Some("host".into()));
    let record = node.clone();
    let written = api.world.store.write(move |tx| {
        Box::pin(async move {
            tx.insert_node(&record).await?;
            let mut workspace = tx.workspace(workspace_id).await?.unwrap();
            workspace.state = WorkspaceState::Ready;
            tx.update_workspace(&workspace).await
        })
    });
    written.await.unwrap();
    (id, node, identity)
}

pub(super) async fn give(api: &Api, id: &str, name: &str, value: &str) -> super::Answer {
    api.json(ROOT, &format!("PUT /v1/workspaces/{id}/secrets/{name}"), "", &json!({"value": value})).await
}

async fn envelopes(api: &Api, node: &Node) -> Vec<(u64, Envelope)> {
    let waiting = api.world.store.read().await.unwrap().envelopes(node.id, SystemClock.now()).await.unwrap();
    waiting.into_iter().map(|waiting| (waiting.version, waiting.envelope)).collect()
}

async fn without_a_node_nothing_is_taken(kind: Kind) {
    let api = Api::start(kind).await;
    let id = api.workspace("acme").await;
    let refused = give(&api, &id, "API_KEY", VALUE).await;
    assert_eq!(refused.problem(), "conflict");
    assert!(refused.body.contains("no node yet") && !refused.body.contains(VALUE), "{}", refused.body);
    let secrets = format!("GET /v1/workspaces/{id}/secrets");
    assert_eq!(api.ask(ROOT, &secrets, "").await.json()["items"], json!([]));
    assert_eq!(give(&api, "ws_00000000000000000000000000", "API_KEY", VALUE).await.problem(), "not-found");
    let (id, ..) = served(&api, "beta").await;
    for (name, value) in [("bad name", VALUE), ("API_KEY", ""), ("..", VALUE)] {
        let refused = give(&api, &id, &name.replace(' ', "%20"), value).await;
        assert!([404, 422].contains(&refused.status), "{name} {}", refused.body);
    }
    let gone = api.ask(ROOT, &format!("DELETE /v1/workspaces/{id}/secrets/API_KEY"), "").await;
    assert_eq!(gone.problem(), "not-found");
}

async fn a_value_is_sealed_for_the_node_and_kept_nowhere(kind: Kind) {
    let api = Api::start(kind).await;
    let (id, node, identity) = served(&api, "acme").await;
    let given = give(&api, &id, "API_KEY", VALUE).await;
    assert_eq!(given.status, 202, "{}", given.body);
    assert!(!given.body.contains(VALUE));
    let given = given.json();
    assert_eq!((&given["secret"]["state"], &given["secret"]["masked_tail"]), (&json!("waiting"), &json!("7f3a")));
    assert_eq!((&given["workflow"]["kind"], &given["workflow"]["subject"]), (&json!("deliver-secret"), &json!(id)));
    let [(1, envelope)] = &envelopes(&api, &node).await[..] else { panic!("one envelope") };
    let plain = age::decrypt(&identity, &envelope.ciphertext_bytes().unwrap()).unwrap();
    assert_eq!(Payload::decode(&plain).unwrap().value.expose(), VALUE.as_bytes());

    // Another value is work of its own, and takes the older one's place; so does each of two at the same moment.
    let (one, two) = tokio::join!(give(&api, &id, "API_KEY", "second"), give(&api, &id, "API_KEY", "third"));
    assert_eq!((one.status, two.status), (202, 202), "{} {}", one.body, two.body);
    let versions = [one.json(), two.json()].map(|answer| answer["secret"]["version"].as_u64().unwrap());
    assert_eq!(versions.iter().sum::<u64>(), 5, "{versions:?}");
    let waiting = envelopes(&api, &node).await;
    assert_eq!(waiting.iter().map(|(version, _)| *version).collect::<Vec<_>>(), [3]);
    let queued = api.ask(ROOT, &format!("GET /v1/workflows?subject={id}&kind=deliver-secret"), "").await.json();
    assert_eq!(queued["items"].as_array().unwrap().len(), 3);

    // Neither record nor log, nor what is told of the work, has the value or a hash that anybody could try values on.
    let log = api.ask(ROOT, &format!("GET /v1/audit?target={id}"), "").await;
    assert!(log.body.contains("secret.set") && !log.body.contains(VALUE), "{}", log.body);
    assert!(!queued.to_string().contains(VALUE));
    if matches!(kind, Kind::Sqlite) {
        for file in ["store.db", "store.db-wal"] {
            let bytes = std::fs::read(api.world.path(".stead").join(file)).unwrap();
            assert!(!bytes.windows(VALUE.len()).any(|part| part == VALUE.as_bytes()), "{file}");
        }
    }
    // What the files declare, operators give.
    let (declared, _) = api.world.with_node("declared").await;
    assert_eq!(give(&api, &declared.id.to_string(), "API_KEY", VALUE).await.problem(), "conflict");
}

async fn a_secret_is_removed_and_comes_back_newer(kind: Kind) {
    let api = Api::start(kind).await;
    let (id, node, _) = served(&api, "acme").await;
    give(&api, &id, "API_KEY", VALUE).await;
    let removed = api.ask(ROOT, &format!("DELETE /v1/workspaces/{id}/secrets/API_KEY"), "").await;
    assert_eq!(
        (removed.status, &removed.json()["workflow"]["kind"]),
        (202, &json!("remove-secret")),
        "{}",
        removed.body
    );
    assert!(envelopes(&api, &node).await.is_empty(), "nobody brings it any more");
    let list = async || api.ask(ROOT, &format!("GET /v1/workspaces/{id}/secrets"), "").await.json()["items"].clone();
    assert_eq!(list().await, json!([]));
    give(&api, &id, "API_KEY", VALUE).await;
    let back: Value = list().await;
    assert_eq!((&back[0]["version"], back.as_array().unwrap().len()), (&json!(3), 1));
    // What is wrong with a value is not told in its own words.
    let body = json!({"value": 1, "sk-planted-as-a-name": VALUE});
    let wrong = api.json(ROOT, &format!("PUT /v1/workspaces/{id}/secrets/API_KEY"), "", &body).await;
    assert_eq!(wrong.problem(), "invalid");
    assert!(!wrong.body.contains("planted"), "{}", wrong.body);
    let put = async |length: usize| {
        let body = json!({"value": "0123456\n".repeat(length / 8 + 1)[..length]});
        api.json(ROOT, &format!("PUT /v1/workspaces/{id}/secrets/API_KEY"), "", &body).await
    };
    let long = put((32 << 10) + 1).await;
    assert_eq!(long.problem(), "invalid");
    assert!(long.body.contains("the value of API_KEY has 32769 bytes"), "{}", long.body);
    assert_eq!(put(32 << 10).await.status, 202);
}

async fn another_identity_is_begun_once(kind: Kind) {
    let api = Api::start(kind).await;
    let bare = api.workspace("bare").await;
    let rotate = async |id: &str, headers: &str| {
        api.ask(ROOT, &format!("POST /v1/workspaces/{id}/rotate-identity"), headers).await
    };
    assert_eq!(rotate(&bare, "").await.problem(), "conflict");
    let (id, node, _) = served(&api, "acme").await;
    let begun = rotate(&id, "idempotency-key: r-1\r\n").await;
    assert_eq!(begun.status, 202, "{}", begun.body);
    let (again, other) = (rotate(&id, "idempotency-key: r-1\r\n").await, rotate(&id, "").await);
    assert_eq!((again.json(), again.header("idempotency-replayed").as_deref()), (begun.json(), Some("true")));
    let workflow = begun.json()["workflow"].clone();
    assert_eq!((&workflow["kind"], &workflow["subject"]), (&json!("rotate-identity"), &json!(id)));
    assert_eq!((&workflow["host"], &other.json()["workflow"]["id"]), (&json!(node.host), &workflow["id"]));
    let log = api.ask(ROOT, &format!("GET /v1/audit?target={id}"), "").await;
    assert!(log.body.contains("node.rotate_identity"), "{}", log.body);
}
