//! The fleet's files, published through the API, and what is brought in line with them.

use serde_json::{Value, json};
use stead::fleet::FileSet;
use stead::fleet::files::File;
use stead::store::{BlobKey, WorkspaceState};
use stead::workflow::flows::{Params, deprovision};

use super::{Api, ROOT, bearer};
use crate::{Kind, both};

both!(
    files_are_published_by_their_hash_and_only_whole,
    a_large_file_comes_in_pieces_and_is_what_its_hash_says,
    declared_workspaces_are_brought_up_once_for_each_revision,
    a_converge_is_work_of_its_own_and_takes_its_turn,
    a_node_goes_and_its_workspace_stays,
    what_waits_does_not_stand_in_the_way_of_a_down,
    a_declared_secret_is_given_by_operators_while_its_node_is_made,
);

/// Sends bytes to their place.
async fn put(api: &Api, hash: &BlobKey, bytes: &[u8]) -> super::Answer {
    let head = format!(
        "PUT /v1/blobs/{hash} HTTP/1.1\r\nhost: stead\r\nconnection: close\r\n{}content-type: application/octet-stream\r\n\
         content-length: {}\r\n\r\n",
        bearer(ROOT),
        bytes.len()
    );
    api.send_bytes(&[head.as_bytes(), bytes].concat()).await
}

/// The files of the world's fleet, with these workspaces.
fn files(api: &Api, workspaces: &[&str], more: &str) -> FileSet {
    let mut yaml = format!(
        "fleet: {{name: test, id: {}}}\nproviders:\n  local: {{kind: local}}\ntiers:\n  starter:\n    provider: local\n    \
         size: {{vcpus: 1, memory: 1GiB, disk: 10GiB}}\n    image: agent-node\n",
        api.world.fleet
    );
    yaml += "workspaces:\n";
    for workspace in workspaces {
        yaml += &format!("  {workspace}: {{tier: starter}}\n");
    }
    let main = File { content: (yaml + more).into_bytes().into(), executable: false };
    FileSet::with_shipped([("stead.yaml".into(), main)])
}

/// Publishes files; the answer to it.
async fn publish(api: &Api, files: &FileSet) -> super::Answer {
    let archive = files.to_bytes().unwrap();
    let key = BlobKey::of(&archive);
    let kept = put(api, &key, &archive).await;
    assert_eq!(kept.status, 204, "{}", kept.body);
    api.json(ROOT, "POST /v1/revisions", "", &json!({"archive": key})).await
}

async fn files_are_published_by_their_hash_and_only_whole(kind: Kind) {
    let api = Api::start(kind).await;
    let of = |files: &FileSet| BlobKey::of(&files.to_bytes().unwrap());
    let first = files(&api, &["acme"], "");
    let unknown = api.json(ROOT, "POST /v1/revisions", "", &json!({"archive": of(&first)})).await;
    assert!(unknown.problem() == "invalid" && unknown.body.contains("PUT /v1/blobs/"), "{}", unknown.body);
    assert_eq!(api.ask(ROOT, &format!("GET /v1/blobs/{}", of(&first)), "").await.status, 404);
    let published = publish(&api, &first).await;
    assert_eq!(published.status, 201, "{}", published.body);
    assert_eq!(api.ask(ROOT, &format!("GET /v1/blobs/{}", of(&first)), "").await.json()["hash"], json!(of(&first)));
    let again = publish(&api, &first).await;
    assert_eq!((again.status, again.json()), (200, published.json()), "the same files are the same revision");
    assert_eq!(published.json()["digest"], json!(first.digest()));
    let log = api.ask(ROOT, &format!("GET /v1/audit?target={}", published.json()["id"].as_str().unwrap()), "").await;
    assert!(log.body.contains("revision.publish"), "{}", log.body);
    let fleet = api.ask(ROOT, "GET /v1/fleet", "").await.json();
    assert_eq!(fleet["revision"], published.json()["number"]);

    // What a worker could not use is not published.
    let typo = publish(&api, &files(&api, &["acme"], "  other: {tier: none}\n")).await;
    assert!(typo.problem() == "invalid" && typo.body.contains("stead.yaml"), "{}", typo.body);
    let mut foreign = files(&api, &[], "");
    let yaml = "fleet: {name: test, id: fl_0192f0c9}\n";
    foreign.put("stead.yaml".into(), yaml.as_bytes().into());
    let foreign = publish(&api, &foreign).await;
    assert!(foreign.problem() == "invalid" && foreign.body.contains("fl_0192f0c9"), "{}", foreign.body);
    let noise = b"no archive";
    assert_eq!(put(&api, &BlobKey::of(noise), noise).await.status, 204);
    let noise = api.json(ROOT, "POST /v1/revisions", "", &json!({"archive": BlobKey::of(noise)})).await;
    assert!(noise.problem() == "invalid" && noise.body.contains("no archive"), "{}", noise.body);
    let listed = api.ask(ROOT, "GET /v1/revisions", "").await.json();
    assert_eq!(listed["items"][0]["id"], published.json()["id"]);
}

async fn a_large_file_comes_in_pieces_and_is_what_its_hash_says(kind: Kind) {
    let api = Api::start(kind).await;
    // Much more than any other body may have.
    let bytes: Vec<u8> = (0..5 << 20).map(|n: u32| (n % 251) as u8).collect();
    let key = BlobKey::of(&bytes);
    let other = BlobKey::of(b"other");
    let wrong = put(&api, &other, &bytes).await;
    assert!(wrong.problem() == "invalid" && wrong.body.contains("SHA-256"), "{}", wrong.body);
    assert!(!api.world.store.blobs().exists(&other).await.unwrap());
    // Cut short on the way.
    let head = format!(
        "PUT /v1/blobs/{key} HTTP/1.1\r\nhost: stead\r\n{}content-length: {}\r\n\r\n",
        bearer(ROOT),
        bytes.len()
    );
    api.cut_short(&[head.as_bytes(), &bytes[..1 << 20]].concat()).await;
    assert!(!api.world.store.blobs().exists(&key).await.unwrap());
    for _ in 0..2 {
        assert_eq!(put(&api, &key, &bytes).await.status, 204);
    }
    assert_eq!(api.world.store.blobs().get(&key).await.unwrap(), bytes);
    let claims = format!(
        "PUT /v1/blobs/{key} HTTP/1.1\r\nhost: stead\r\nconnection: close\r\n{}content-length: {}\r\n\r\n",
        bearer(ROOT),
        17_u64 << 30
    );
    assert_eq!(api.send(&claims).await.problem(), "too-large");
}

/// Brings workspaces up to a revision.
async fn up(api: &Api, workspaces: &[&str], revision: &Value) -> super::Answer {
    let body = json!({"workspaces": workspaces, "revision": revision});
    api.json(ROOT, "POST /v1/fleet/up", "", &body).await
}

async fn declared_workspaces_are_brought_up_once_for_each_revision(kind: Kind) {
    let api = Api::start(kind).await;
    let first = publish(&api, &files(&api, &["acme", "initech"], "")).await.json()["id"].clone();
    let nobody = up(&api, &["nobody"], &first).await;
    assert!(nobody.problem() == "invalid" && nobody.body.contains("nobody"), "{}", nobody.body);
    assert_eq!(up(&api, &[], &first).await.problem(), "invalid");
    assert_eq!(up(&api, &["acme"], &json!("rv_00000000000000000000000000")).await.problem(), "invalid");
    let listed = api.ask(ROOT, "GET /v1/workspaces", "").await.json();
    assert_eq!(listed["items"], json!([]), "nothing is recorded of what was refused");

    let begun = up(&api, &["acme", "initech"], &first).await;
    assert_eq!(begun.status, 202, "{}", begun.body);
    let begun = begun.json()["workspaces"].clone();
    let kinds = |brought: &Value| {
        let workflows = brought["workflows"].as_array().unwrap();
        workflows.iter().map(|workflow| workflow["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((kinds(&begun[0]), kinds(&begun[1])), (vec!["provision".into()], vec!["provision".into()]));
    assert_eq!((&begun[0]["workspace"]["managed_by"], &begun[0]["workspace"]["revision"]), (&json!("files"), &first));
    let again = up(&api, &["acme"], &first).await.json()["workspaces"][0].clone();
    assert_eq!(again["workflows"][0]["id"], begun[0]["workflows"][0]["id"], "it is under way");

    // Files that changed meanwhile are applied behind what was begun with the older ones.
    let second = publish(&api, &files(&api, &["acme", "extra"], "")).await.json()["id"].clone();
    let behind = up(&api, &["acme"], &second).await.json()["workspaces"][0].clone();
    assert_eq!(kinds(&behind), ["provision", "converge"]);
    assert_eq!(behind["workspace"]["revision"], second);

    // A slug that came through the API is not taken over by files.
    let taken = publish(&api, &files(&api, &["acme", "mine"], "")).await.json()["id"].clone();
    let made = api.world.with_node("mine").await.0;
    let id = made.id;
    api.world
        .store
        .write(move |tx| {
            Box::pin(async move {
                let mut workspace = tx.workspace(id).await?.unwrap();
                workspace.managed_by = stead::store::ManagedBy::Api;
                tx.update_workspace(&workspace).await
            })
        })
        .await
        .unwrap();
    let refused = up(&api, &["mine"], &taken).await;
    assert!(
        refused.problem() == "invalid" && refused.body.contains("came through the control API"),
        "{}",
        refused.body
    );
}

async fn a_converge_is_work_of_its_own_and_takes_its_turn(kind: Kind) {
    let api = Api::start(kind).await;
    let revision = publish(&api, &files(&api, &["acme"], "")).await.json()["id"].clone();
    let (workspace, _) = api.world.with_node("acme").await;
    let converge =
        async |body: Value| api.json(ROOT, &format!("POST /v1/workspaces/{}/converge", workspace.id), "", &body).await;
    let first = converge(json!({"revision": revision})).await;
    assert_eq!(first.status, 202, "{}", first.body);
    let second = converge(json!({"tags": ["web"], "vars": {"a": 1}})).await;
    assert_eq!(second.status, 202, "{}", second.body);
    assert_ne!(first.json()["workflow"]["id"], second.json()["workflow"]["id"]);
    let check = converge(json!({"check": true})).await;
    assert_eq!(check.json()["workflow"]["kind"], "check");
    for wrong in [
        json!({"confirm_within": 1}),
        json!({"prune": true, "tags": ["web"]}),
        json!({"resume": true, "check": true}),
        json!({"playbook": "x"}),
        json!({"revision": "rv_00000000000000000000000000"}),
    ] {
        assert_eq!(converge(wrong.clone()).await.problem(), "invalid", "{wrong}");
    }
    let bare = api.workspace("bare").await;
    let none = api.json(ROOT, &format!("POST /v1/workspaces/{bare}/converge"), "", &json!({})).await;
    assert_eq!(none.problem(), "conflict");
    let foreign = files(&api, &["other"], "");
    let undeclared = publish(&api, &foreign).await.json()["id"].clone();
    let undeclared = converge(json!({"revision": undeclared})).await;
    assert!(undeclared.problem() == "invalid" && undeclared.body.contains("acme"), "{}", undeclared.body);
}

async fn a_node_goes_and_its_workspace_stays(kind: Kind) {
    let api = Api::start(kind).await;
    let revision = publish(&api, &files(&api, &["acme"], "")).await.json()["id"].clone();
    let (workspace, node) = api.world.with_node("acme").await;
    let down =
        async |body: Value| api.json(ROOT, &format!("POST /v1/workspaces/{}/down", workspace.id), "", &body).await;
    assert!(down(json!({"gone": true})).await.body.contains("was not brought"), "{}", node.kind);
    let begun = down(json!({})).await;
    assert_eq!((begun.status, &begun.json()["workflow"]["kind"]), (202, &json!("deprovision")), "{}", begun.body);
    assert_eq!(down(json!({})).await.json()["workflow"]["id"], begun.json()["workflow"]["id"]);
    assert_eq!(publish(&api, &files(&api, &["other"], "")).await.status, 201);
    // What ends the workspace is not taken for what only takes its node down.
    let ended = api.ask(ROOT, &format!("DELETE /v1/workspaces/{}", workspace.id), "").await;
    assert!(ended.problem() == "conflict" && ended.body.contains("being taken down"), "{}", ended.body);
    // A node that goes is made anew behind that; one whose workspace ends is not.
    let anew = up(&api, &["acme"], &revision).await;
    assert_eq!(anew.json()["workspaces"][0]["workflows"][0]["kind"], "provision", "{}", anew.body);
    let (engine, id) = (api.engine.clone(), workspace.id);
    let ends = api.world.store.write(move |tx| {
        Box::pin(async move {
            for kind in ["deprovision", "provision"] {
                let mut live = tx.live_workflow(kind, &id.to_string()).await?.unwrap();
                (live.state, live.ended_at) = (stead::store::WorkflowState::Failed, Some(tx.now()));
                assert!(tx.update_workflow(&live).await?);
            }
            let mut workspace = tx.workspace(id).await?.unwrap();
            workspace.state = WorkspaceState::Deprovisioning;
            tx.update_workspace(&workspace).await?;
            let params = Params { ends: true, ..Params::of(&workspace, "test") };
            let params = serde_json::to_value(params).unwrap();
            let place = stead::store::Placement::default();
            engine.enqueue_in(tx, deprovision::KIND, &id.to_string(), params, None, place).await
        })
    });
    ends.await.unwrap();
    let ended = up(&api, &["acme"], &revision).await;
    assert!(ended.problem() == "conflict" && ended.body.contains("being ended"), "{}", ended.body);
}

/// A workspace that files declare, with a node that was brought.
async fn brought(api: &Api) -> stead::store::Workspace {
    let (workspace, _) = api.world.with_node("acme").await;
    api.world.meddle("UPDATE nodes SET kind = 'ssh'").await;
    workspace
}

async fn what_waits_does_not_stand_in_the_way_of_a_down(kind: Kind) {
    let api = Api::start(kind).await;
    let revision = publish(&api, &files(&api, &["acme"], "")).await.json()["id"].clone();
    let workspace = brought(&api).await;
    let (id, engine) = (workspace.id, api.engine.clone());
    let ask =
        async |what: &str, body: Value| api.json(ROOT, &format!("POST /v1/workspaces/{id}/{what}"), "", &body).await;
    assert_eq!(ask("converge", json!({})).await.status, 202);
    assert_eq!(ask("converge", json!({"check": true})).await.status, 202);
    // A rebuild that is parked, and a down that is tried again later since the machine does not answer.
    let waiting = api.world.store.write(move |tx| {
        Box::pin(async move {
            let subject = id.to_string();
            let params = serde_json::to_value(Params::of(&workspace, "test")).unwrap();
            for kind in ["rebuild", "deprovision"] {
                let place = stead::store::Placement::default();
                let made = engine.enqueue_in(tx, kind, &subject, params.clone(), None, place).await?;
                let mut workflow = tx.workflow(made).await?.unwrap();
                if kind == "rebuild" {
                    workflow.state = stead::store::WorkflowState::Parked;
                } else {
                    workflow.run_after = Some(tx.now() + std::time::Duration::from_secs(3600));
                }
                assert!(tx.update_workflow(&workflow).await?);
            }
            Ok(())
        })
    });
    waiting.await.unwrap();
    let postponed = ask("down", json!({})).await.json()["workflow"]["id"].clone();
    let gone = ask("down", json!({"gone": true})).await;
    assert_eq!(gone.status, 202, "{}", gone.body);
    assert_ne!(gone.json()["workflow"]["id"], postponed, "what waits for a machine that is gone is given up");
    let live = api.world.store.read().await.unwrap().workflows(stead::store::Listed::Live).await.unwrap();
    let live: Vec<&str> = live.iter().map(|workflow| workflow.kind.as_str()).collect();
    assert_eq!(live, ["deprovision"]);

    // A node that is not made yet and goes is not told to be up.
    let mut other = publish(&api, &files(&api, &["acme", "other"], "")).await.json()["id"].clone();
    assert_ne!(other, revision);
    assert_eq!(up(&api, &["other"], &other).await.status, 202);
    let listed = api.ask(ROOT, "GET /v1/workspaces?slug=other", "").await.json();
    let id = listed["items"][0]["id"].as_str().unwrap().to_owned();
    let down = api.json(ROOT, &format!("POST /v1/workspaces/{id}/down"), "", &json!({})).await;
    assert_eq!(down.status, 202, "{}", down.body);
    other = json!(other);
    let refused = up(&api, &["other"], &other).await;
    assert!(refused.problem() == "conflict" && refused.body.contains("being taken down"), "{}", refused.body);

    // What came through the API has no way back up.
    let theirs = api.workspace("theirs").await;
    let refused = api.json(ROOT, &format!("POST /v1/workspaces/{theirs}/down"), "", &json!({})).await;
    assert!(refused.problem() == "conflict" && refused.body.contains("workspace delete"), "{}", refused.body);
}

async fn a_declared_secret_is_given_by_operators_while_its_node_is_made(kind: Kind) {
    let api = Api::start(kind).await;
    let (workspace, mut node) = api.world.with_node("acme").await;
    let id = workspace.id;
    let owner = api.token(json!({"name": "theirs", "role": "owner", "workspace_id": id})).await;
    let give = async |token: &str| {
        let path = format!("PUT /v1/workspaces/{id}/secrets/API_KEY");
        api.json(token, &path, "", &json!({"value": "sk-of-the-vault"})).await
    };
    assert_eq!(give(ROOT).await.problem(), "conflict", "there is no identity yet");
    let recipient = age::x25519::Identity::generate().to_public().to_string();
    (node.verified, node.recipient) = (true, Some(recipient));
    let written = api.world.store.write(move |tx| {
        Box::pin(async move {
            let mut workspace = tx.workspace(id).await?.unwrap();
            workspace.state = WorkspaceState::Provisioning;
            tx.update_workspace(&workspace).await?;
            tx.update_node(&node).await
        })
    });
    written.await.unwrap();
    let refused = give(&owner).await;
    assert!(refused.problem() == "conflict" && refused.body.contains("stead secret set acme"), "{}", refused.body);
    let given = give(ROOT).await;
    assert_eq!((given.status, &given.json()["secret"]["state"]), (202, &json!("waiting")), "{}", given.body);
    let removed = api.ask(ROOT, &format!("DELETE /v1/workspaces/{id}/secrets/API_KEY"), "").await;
    assert_eq!(removed.problem(), "conflict");
}
