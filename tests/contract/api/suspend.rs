//! A workspace suspended and resumed through the API: who may, and what is refused meanwhile.

use serde_json::{Value, json};
use stead::store::{ManagedBy, NodeState, Suspender, WorkspaceState};

use super::secrets::{give, served};
use super::{Api, ROOT};
use crate::{Kind, both};

both!(
    a_suspension_is_asked_for_once_and_shown,
    what_operators_suspended_no_customer_resumes,
    what_waits_for_a_person_is_no_answer,
    a_declared_secret_is_taken_while_its_workspace_is_resumed,
);

async fn ask(api: &Api, who: &str, id: &str, verb: &str, body: Value) -> super::Answer {
    api.json(who, &format!("POST /v1/workspaces/{id}/{verb}"), "", &body).await
}

/// As the flows leave it when the node is stopped, or serves again.
async fn settle(api: &Api, id: &str, suspended: bool) {
    let id = id.parse().unwrap();
    let settle = api.world.store.write(move |tx| {
        Box::pin(async move {
            for kind in ["suspend", "resume"] {
                if let Some(mut live) = tx.live_workflow(kind, &format!("{id}")).await? {
                    live.state = stead::store::WorkflowState::Succeeded;
                    tx.update_workflow(&live).await?;
                }
            }
            let (mut workspace, mut node) = (tx.workspace(id).await?.unwrap(), tx.node_of(id).await?.unwrap());
            workspace.state = if suspended { WorkspaceState::Suspended } else { WorkspaceState::Ready };
            workspace.suspension = workspace.suspension.filter(|_| suspended);
            node.state = if suspended { NodeState::Stopped } else { NodeState::Ready };
            tx.update_node(&node).await?;
            tx.update_workspace(&workspace).await
        })
    });
    settle.await.unwrap();
}

async fn park(api: &Api, kind: &'static str, id: &str) {
    let id = id.to_owned();
    let park = api.world.store.write(move |tx| {
        Box::pin(async move {
            let mut live = tx.live_workflow(kind, &id).await?.unwrap();
            live.state = stead::store::WorkflowState::Parked;
            tx.update_workflow(&live).await
        })
    });
    park.await.unwrap();
}

async fn a_suspension_is_asked_for_once_and_shown(kind: Kind) {
    let api = Api::start(kind).await;
    let bare = api.workspace("bare").await;
    assert_eq!(ask(&api, ROOT, &bare, "suspend", json!({})).await.problem(), "conflict");
    assert_eq!(ask(&api, ROOT, &bare, "resume", json!({})).await.problem(), "conflict");
    let (id, node, _) = served(&api, "acme").await;
    for (body, says) in [
        (json!({"raeson": "x"}), "unknown field"),
        (json!({"reason": " "}), "visible"),
        (json!({"reason": "a\nb"}), "visible"),
        (json!({"reason": "x".repeat(501)}), "500"),
    ] {
        let refused = ask(&api, ROOT, &id, "suspend", body).await;
        assert!(refused.problem() == "invalid" && refused.body.contains(says), "{}", refused.body);
    }
    let body = json!({"reason": "unpaid since May"});
    let path = format!("POST /v1/workspaces/{id}/suspend");
    let begun = api.json(ROOT, &path, "idempotency-key: s-1\r\n", &body).await;
    assert_eq!(begun.status, 202, "{}", begun.body);
    let again = api.json(ROOT, &path, "idempotency-key: s-1\r\n", &body).await;
    assert_eq!((again.json(), again.header("idempotency-replayed").as_deref()), (begun.json(), Some("true")));
    let workflow = begun.json()["workflow"].clone();
    assert_eq!((&workflow["kind"], &workflow["subject"]), (&json!("suspend"), &json!(id)));
    assert_eq!(workflow["host"], json!(node.host), "it is for the host of the node");
    let other = ask(&api, ROOT, &id, "suspend", json!({})).await;
    assert_eq!(other.json()["workflow"]["id"], workflow["id"]);
    let shown = api.ask(ROOT, &format!("GET /v1/workspaces/{id}"), "").await.json();
    assert_eq!((&shown["state"], &shown["suspension"]["by"]), (&json!("ready"), &json!("operator")));
    assert_eq!(shown["suspension"]["reason"], Value::Null, "the last word stands");
    ask(&api, ROOT, &id, "suspend", body).await;

    settle(&api, &id, true).await;
    let shown = api.ask(ROOT, &format!("GET /v1/workspaces/{id}"), "").await.json();
    assert_eq!((&shown["state"], &shown["suspension"]["reason"]), (&json!("suspended"), &json!("unpaid since May")));
    let listed = api.ask(ROOT, "GET /v1/workspaces?state=suspended", "").await.json();
    assert_eq!(listed["items"][0]["suspension"], shown["suspension"]);
    let workspace_id = id.parse().unwrap();
    let mut reader = api.world.store.read().await.unwrap();
    let (alone, with_node) = (
        reader.workspace(workspace_id).await.unwrap().unwrap(),
        reader.workspaces_with_nodes(vec![workspace_id]).await.unwrap().remove(&workspace_id).unwrap().0,
    );
    drop(reader);
    assert_eq!(alone, with_node);
    let secret = format!("DELETE /v1/workspaces/{id}/secrets/API_KEY");
    for refused in [
        ask(&api, ROOT, &id, "rebuild", json!({})).await,
        ask(&api, ROOT, &id, "rotate-identity", json!({})).await,
        give(&api, &id, "API_KEY", "x").await,
        api.ask(ROOT, &secret, "").await,
    ] {
        assert_eq!(refused.problem(), "conflict");
        assert!(refused.body.contains("is suspended: unpaid since May"), "{}", refused.body);
    }
    let resumed = ask(&api, ROOT, &id, "resume", json!({})).await;
    assert_eq!((resumed.status, &resumed.json()["workflow"]["kind"]), (202, &json!("resume")), "{}", resumed.body);
    settle(&api, &id, false).await;
    assert_eq!(ask(&api, ROOT, &id, "resume", json!({})).await.problem(), "conflict", "it is not suspended any more");
    let log = api.ask(ROOT, &format!("GET /v1/audit?target={id}"), "").await;
    assert!(log.body.contains("workspace.suspend") && log.body.contains("workspace.resume"), "{}", log.body);

    // One whose rebuild waits for a person waits for them too.
    ask(&api, ROOT, &id, "rebuild", json!({})).await;
    park(&api, "rebuild", &id).await;
    let refused = ask(&api, ROOT, &id, "suspend", json!({})).await;
    assert!(refused.problem() == "conflict" && refused.body.contains("stead workflow abandon"), "{}", refused.body);
    // A rebuild under way ends first; none comes before a suspension that is about to be.
    let (id, ..) = served(&api, "gamma").await;
    assert_eq!(ask(&api, ROOT, &id, "rebuild", json!({})).await.status, 202);
    assert_eq!(ask(&api, ROOT, &id, "suspend", json!({})).await.status, 202);
    for verb in ["rebuild", "rotate-identity"] {
        let refused = ask(&api, ROOT, &id, verb, json!({})).await;
        assert!(refused.problem() == "conflict" && refused.body.contains("about to be"), "{}", refused.body);
    }

    // One that is suspended is deleted as any other.
    let (id, ..) = served(&api, "beta").await;
    ask(&api, ROOT, &id, "suspend", json!({})).await;
    settle(&api, &id, true).await;
    assert_eq!(api.ask(ROOT, &format!("DELETE /v1/workspaces/{id}"), "").await.status, 202);
}

async fn what_operators_suspended_no_customer_resumes(kind: Kind) {
    let api = Api::start(kind).await;
    let (id, ..) = served(&api, "acme").await;
    let owner = api.person("owner@example.com", None, Some((&id, "owner"))).await;
    let member = api.token(json!({"name": "m", "role": "member", "workspace_id": id})).await;
    assert_eq!(ask(&api, &member, &id, "suspend", json!({})).await.status, 403);
    let send =
        async |verb: &str, body: Value| api.send_json(&format!("POST /v1/workspaces/{id}/{verb}"), &owner, &body).await;
    let by = async || {
        let stored = api.world.store.read().await.unwrap().workspace(id.parse().unwrap()).await.unwrap().unwrap();
        stored.suspension.map(|suspension| (suspension.by, suspension.reason))
    };
    // Their own they resume.
    let begun = send("suspend", json!({"reason": "holidays"})).await;
    assert_eq!(begun.status, 202, "{}", begun.body);
    assert_eq!(by().await, Some((Suspender::Customer, Some("holidays".into()))));
    settle(&api, &id, true).await;
    assert_eq!(send("resume", json!({})).await.status, 202);

    // An operator's word counts from the moment that it is given, though the node is just being started again.
    assert_eq!(ask(&api, ROOT, &id, "suspend", json!({"reason": "unpaid"})).await.status, 202);
    let unpaid = Some((Suspender::Operator, Some("unpaid".to_owned())));
    assert_eq!(by().await, unpaid);
    settle(&api, &id, true).await;
    let refused = send("resume", json!({})).await;
    assert_eq!(refused.problem(), "conflict");
    assert!(refused.body.contains("the platform suspended this workspace: unpaid"), "{}", refused.body);
    assert_eq!(send("suspend", json!({"reason": "holidays"})).await.status, 202);
    assert_eq!(by().await, unpaid, "and no other word takes it away");
    let deleted = api.raw(&format!("DELETE /v1/workspaces/{id}"), &owner).await;
    assert!(deleted.problem() == "conflict" && deleted.body.contains("unpaid"), "{}", deleted.body);
    assert_eq!(ask(&api, ROOT, &id, "resume", json!({})).await.status, 202);
}

async fn what_waits_for_a_person_is_no_answer(kind: Kind) {
    let api = Api::start(kind).await;
    let (id, ..) = served(&api, "acme").await;
    let owner = api.person("owner@example.com", None, Some((&id, "owner"))).await;
    let send = async |verb: &str| api.send_json(&format!("POST /v1/workspaces/{id}/{verb}"), &owner, &json!({})).await;
    assert_eq!(send("suspend").await.status, 202);
    park(&api, "suspend", &id).await;
    let refused = ask(&api, ROOT, &id, "suspend", json!({})).await;
    assert!(refused.problem() == "conflict" && refused.body.contains("stead workflow retry"), "{}", refused.body);
    settle(&api, &id, true).await;
    assert_eq!(send("resume").await.status, 202);
    let refused = ask(&api, ROOT, &id, "resume", json!({})).await;
    assert!(refused.problem() == "conflict" && refused.body.contains("customer's resume"), "{}", refused.body);
    park(&api, "resume", &id).await;
    assert_eq!(send("resume").await.problem(), "conflict");
}

async fn a_declared_secret_is_taken_while_its_workspace_is_resumed(kind: Kind) {
    let api = Api::start(kind).await;
    let (id, ..) = served(&api, "acme").await;
    let workspace = id.parse().unwrap();
    let declare = api.world.store.write(move |tx| {
        Box::pin(async move {
            let mut workspace = tx.workspace(workspace).await?.unwrap();
            workspace.managed_by = ManagedBy::Files;
            tx.update_workspace(&workspace).await
        })
    });
    declare.await.unwrap();
    ask(&api, ROOT, &id, "suspend", json!({})).await;
    settle(&api, &id, true).await;
    assert_eq!(give(&api, &id, "API_KEY", "x").await.problem(), "conflict");
    assert_eq!(ask(&api, ROOT, &id, "resume", json!({})).await.status, 202);
    let given = give(&api, &id, "API_KEY", "x").await;
    assert_eq!(given.status, 202, "{}", given.body);
    park(&api, "resume", &id).await;
    assert_eq!(give(&api, &id, "API_KEY", "y").await.problem(), "conflict");
}
