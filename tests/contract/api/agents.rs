//! Agents and their channels.

use serde_json::{Value, json};
use stead::audit;
use stead::clock::{Clock, SystemClock};
use stead::id::{AgentId, WorkspaceId};
use stead::store::restore;

use super::{Answer, Api, ROOT};
use crate::{Kind, both, open};

both!(
    an_agent_is_recorded_changed_and_forgotten,
    what_cannot_be_recorded_is_told_with_the_way_out,
    agents_and_channels_are_listed_page_by_page,
    of_two_who_take_a_name_one_has_it,
    there_are_no_more_than_the_most,
    another_workspaces_are_not_there,
    agents_end_with_their_workspace,
    a_backup_has_agents_and_channels,
);

/// Records an agent.
async fn record(api: &Api, workspace: &str, name: &str) -> Answer {
    let body = json!({"name": name, "kind": "assistant", "model_provider": "anthropic"});
    api.json(ROOT, &format!("POST /v1/workspaces/{workspace}/agents"), "", &body).await
}

/// The id of an agent that is recorded.
pub(super) async fn agent(api: &Api, workspace: &str, name: &str) -> String {
    let made = record(api, workspace, name).await;
    assert_eq!(made.status, 201, "{}", made.body);
    made.json()["id"].as_str().unwrap().to_owned()
}

/// The id of a channel that is recorded.
pub(super) async fn channel(api: &Api, workspace: &str, agent: &str, kind: &str) -> String {
    let body = json!({"agent_id": agent, "kind": kind});
    let made = api.json(ROOT, &format!("POST /v1/workspaces/{workspace}/channels"), "", &body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    made.json()["id"].as_str().unwrap().to_owned()
}

pub(super) async fn get(api: &Api, path: &str) -> Value {
    let shown = api.ask(ROOT, &format!("GET {path}"), "").await;
    assert_eq!(shown.status, 200, "{path}: {}", shown.body);
    shown.json()
}

async fn an_agent_is_recorded_changed_and_forgotten(kind: Kind) {
    let api = Api::start(kind).await;
    let id = api.workspace("acme").await;
    let (agents, channels) = (format!("/v1/workspaces/{id}/agents"), format!("/v1/workspaces/{id}/channels"));
    let body = json!({"name": "desk", "kind": "assistant", "model_provider": "openai", "enabled": false});
    let request = format!("POST {agents}");
    let make = || api.json(ROOT, &request, "idempotency-key: k-1\r\n", &body);
    let made = make().await;
    assert_eq!(made.status, 201, "{}", made.body);
    let again = make().await;
    assert_eq!((again.status, again.json()), (201, made.json()));
    assert_eq!(again.header("idempotency-replayed").as_deref(), Some("true"));
    let made = made.json();
    let path = format!("{agents}/{}", made["id"].as_str().unwrap());
    assert_eq!(again.header("location").as_deref(), Some(path.as_str()));
    assert_eq!((&made["enabled"], &made["last_seen_at"], &made["messages"]), (&json!(false), &Value::Null, &json!(0)));
    let shown = api.ask(ROOT, &format!("GET {path}"), "").await;
    assert_eq!((shown.json(), shown.header("etag").as_deref()), (made, Some("\"1\"")));

    let change = |headers: &'static str, body: Value| {
        let (api, path) = (&api, &path);
        async move { api.json(ROOT, &format!("PATCH {path}"), headers, &body).await }
    };
    assert_eq!(change("", json!({"enabled": true})).await.problem(), "precondition-required");
    assert_eq!(change("if-match: *\r\n", json!({})).await.problem(), "invalid");
    assert_eq!(change("if-match: *\r\n", json!({"kind": "other"})).await.problem(), "invalid");
    let changed = change("if-match: \"1\"\r\n", json!({"enabled": true, "model_provider": "mistral"})).await;
    assert_eq!((changed.status, changed.header("etag").as_deref()), (200, Some("\"2\"")), "{}", changed.body);
    let changed = changed.json();
    assert_eq!(
        (&changed["name"], &changed["model_provider"], &changed["enabled"]),
        (&json!("desk"), &json!("mistral"), &json!(true))
    );
    assert_eq!(change("if-match: \"1\"\r\n", json!({"enabled": false})).await.problem(), "precondition-failed");
    assert_eq!(change("if-match: \"2\"\r\n", json!({"name": "desk"})).await.status, 200, "its own name is not taken");
    agent(&api, &id, "other").await;
    assert_eq!(change("if-match: *\r\n", json!({"name": "other"})).await.problem(), "conflict");

    let made = channel(&api, &id, path.rsplit('/').next().unwrap(), "telegram").await;
    let door = format!("{channels}/{made}");
    let close = |headers: &'static str, body: Value| {
        let (api, door) = (&api, &door);
        async move { api.json(ROOT, &format!("PATCH {door}"), headers, &body).await }
    };
    assert_eq!(close("", json!({"enabled": false})).await.problem(), "precondition-required");
    assert_eq!(close("if-match: *\r\n", json!({})).await.problem(), "invalid");
    let closed = close("if-match: \"1\"\r\n", json!({"enabled": false})).await;
    assert_eq!((closed.status, closed.header("etag").as_deref()), (200, Some("\"2\"")), "{}", closed.body);
    assert_eq!(get(&api, &door).await["enabled"], false);
    assert_eq!(close("if-match: \"1\"\r\n", json!({"enabled": true})).await.problem(), "precondition-failed");
    let late = api.ask(ROOT, &format!("DELETE {door}"), "if-match: \"1\"\r\n").await;
    assert_eq!(late.problem(), "precondition-failed");
    assert_eq!(api.ask(ROOT, &format!("DELETE {door}"), "if-match: \"2\"\r\n").await.status, 204);
    assert_eq!(api.ask(ROOT, &format!("DELETE {door}"), "").await.problem(), "not-found");
    let left = format!("{channels}/{}", channel(&api, &id, path.rsplit('/').next().unwrap(), "web").await);
    let late = api.ask(ROOT, &format!("DELETE {path}"), "if-match: \"1\"\r\n").await;
    assert_eq!(late.problem(), "precondition-failed");
    assert_eq!(api.ask(ROOT, &format!("DELETE {path}"), "").await.status, 204);
    for gone in [&path, &left] {
        assert_eq!(api.ask(ROOT, &format!("GET {gone}"), "").await.problem(), "not-found", "{gone}");
    }

    let entries = audit::list(&api.world.store, Some(&id), 100).await.unwrap();
    let mut actions: Vec<&str> = entries.iter().map(|entry| entry.action.as_str()).collect();
    actions.retain(|action| action.starts_with("agent.") || action.starts_with("channel."));
    let wanted = [
        "agent.create",
        "agent.change",
        "agent.change",
        "agent.create",
        "channel.create",
        "channel.change",
        "channel.delete",
        "channel.create",
        "agent.delete",
    ];
    assert_eq!(actions, wanted, "what was refused or asked again is no act");
}

async fn what_cannot_be_recorded_is_told_with_the_way_out(kind: Kind) {
    let api = Api::start(kind).await;
    let (id, theirs) = (api.workspace("acme").await, api.workspace("other").await);
    let foreign = agent(&api, &theirs, "desk").await;
    let whole = json!({"name": "desk", "kind": "assistant", "model_provider": "openai"});
    for (field, value, says) in [
        ("name", json!("Front Desk"), "not a legal name"),
        ("name", json!("a".repeat(64)), "not a legal name"),
        ("name", json!("desk\n"), "not a legal name"),
        ("name", json!(7), "invalid type"),
        ("kind", json!("E-Mail"), "write e-mail"),
        ("kind", json!(""), "not a word"),
        ("model_provider", json!("x".repeat(33)), "not a word"),
        ("model_provider", json!("'; DROP TABLE agents; --"), "not a word"),
        ("enabled", json!("yes"), "invalid type"),
        ("conversations", json!(7), "unknown field"),
    ] {
        let mut body = whole.clone();
        body[field] = value;
        let answer = api.json(ROOT, &format!("POST /v1/workspaces/{id}/agents"), "", &body).await;
        assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid"), "{body}: {}", answer.body);
        assert!(answer.body.contains(says), "{body}: {}", answer.body);
    }
    let ours = agent(&api, &id, "desk").await;
    for (body, says) in [
        (json!({"agent_id": foreign, "kind": "web"}), "has no agent"),
        (json!({"agent_id": id, "kind": "web"}), "is not an id of the form ag_"),
        (json!({"agent_id": ours, "kind": "We b"}), "write we-b"),
        (json!({"agent_id": ours}), "missing field `kind`"),
    ] {
        let answer = api.json(ROOT, &format!("POST /v1/workspaces/{id}/channels"), "", &body).await;
        assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid"), "{body}: {}", answer.body);
        assert!(answer.body.contains(says), "{body}: {}", answer.body);
    }
    let nowhere = "ws_00000000000000000000000000";
    assert_eq!(record(&api, nowhere, "desk").await.problem(), "not-found");
    for request in [
        format!("GET /v1/workspaces/{nowhere}/agents"),
        format!("DELETE /v1/workspaces/{nowhere}/agents/{ours}"),
        format!("GET /v1/workspaces/{id}/agents/{id}"),
        format!("GET /v1/workspaces/{id}/channels/{ours}"),
    ] {
        assert_eq!(api.ask(ROOT, &request, "").await.problem(), "not-found", "{request}");
    }
    assert_eq!(get(&api, &format!("/v1/workspaces/{id}/agents")).await["items"].as_array().unwrap().len(), 1);
    assert_eq!(get(&api, &format!("/v1/workspaces/{id}/channels")).await["items"], json!([]));
}

async fn agents_and_channels_are_listed_page_by_page(kind: Kind) {
    let api = Api::start(kind).await;
    let id = api.workspace("acme").await;
    let (mut agents, mut channels) = (Vec::new(), Vec::new());
    for name in ["c", "a", "b"] {
        agents.push(agent(&api, &id, name).await);
        for kind in ["web", "telegram"] {
            channels.push(channel(&api, &id, agents.last().unwrap(), kind).await);
        }
    }
    for (list, made) in [("agents", &agents), ("channels", &channels)] {
        let (mut seen, mut query) = (Vec::new(), "?limit=2".to_owned());
        loop {
            let page = get(&api, &format!("/v1/workspaces/{id}/{list}{query}")).await;
            seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
            let Some(next) = page["next"].as_str() else { break };
            query = format!("?limit=2&cursor={next}");
        }
        assert_eq!(&seen, made);
    }
    let path = format!("/v1/workspaces/{id}/agents/{}", agents[1]);
    api.json(ROOT, &format!("PATCH {path}"), "if-match: *\r\n", &json!({"enabled": false})).await;
    let path = format!("/v1/workspaces/{id}/channels/{}", channels[2]);
    api.json(ROOT, &format!("PATCH {path}"), "if-match: *\r\n", &json!({"enabled": false})).await;
    let found = async |query: String| {
        let page = get(&api, &format!("/v1/workspaces/{id}/{query}")).await;
        let ids = page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(found("agents?enabled=false".into()).await, agents[1..2]);
    assert_eq!(found("agents?enabled=true&kind=assistant".into()).await, [&agents[..1], &agents[2..]].concat());
    assert_eq!(found("agents?kind=none".into()).await, [""; 0]);
    assert_eq!(found(format!("channels?agent_id={}", agents[1])).await, channels[2..4]);
    assert_eq!(found("channels?kind=web&enabled=true".into()).await, [&channels[..1], &channels[4..5]].concat());
    assert_eq!(found(format!("channels?agent_id={}&enabled=false", agents[0])).await, [""; 0]);
    for wrong in ["agents?enabled=perhaps", "agents?cursor=d3NfMDE", "channels?agent_id=ws_1", "channels?limit=0"] {
        let answer = api.ask(ROOT, &format!("GET /v1/workspaces/{id}/{wrong}"), "").await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "bad-request"), "{wrong}");
    }
}

async fn of_two_who_take_a_name_one_has_it(kind: Kind) {
    let api = Api::start(kind).await;
    let id = api.workspace("acme").await;
    let statuses = |one: &Answer, two: &Answer| {
        let mut both = [one.status, two.status];
        both.sort_unstable();
        both
    };
    for round in 0..5 {
        let name = format!("desk-{round}");
        let (one, two) = tokio::join!(record(&api, &id, &name), record(&api, &id, &name));
        assert_eq!(statuses(&one, &two), [201, 409], "{} {}", one.body, two.body);
        let (one, two) =
            (agent(&api, &id, &format!("one-{round}")).await, agent(&api, &id, &format!("two-{round}")).await);
        let body = json!({"name": format!("new-{round}")});
        let rename = async |agent: &str| {
            api.json(ROOT, &format!("PATCH /v1/workspaces/{id}/agents/{agent}"), "if-match: *\r\n", &body).await
        };
        let (one, two) = tokio::join!(rename(&one), rename(&two));
        assert_eq!(statuses(&one, &two), [200, 409], "{} {}", one.body, two.body);
    }
}

async fn there_are_no_more_than_the_most(kind: Kind) {
    let api = Api::start(kind).await;
    let id = api.workspace("acme").await;
    for n in 0..99 {
        agent(&api, &id, &format!("a{n}")).await;
    }
    let (one, two) = tokio::join!(record(&api, &id, "x"), record(&api, &id, "y"));
    let refused = if one.status == 201 { two } else { one };
    assert_eq!(refused.problem(), "conflict");
    assert!(refused.body.contains("100 are the most"), "{}", refused.body);
    let all = get(&api, &format!("/v1/workspaces/{id}/agents?limit=200")).await;
    assert_eq!(all["items"].as_array().unwrap().len(), 100);

    let one = all["items"][0]["id"].as_str().unwrap();
    for _ in 0..200 {
        channel(&api, &id, one, "web").await;
    }
    let body = json!({"agent_id": one, "kind": "web"});
    let refused = api.json(ROOT, &format!("POST /v1/workspaces/{id}/channels"), "", &body).await;
    assert_eq!(refused.problem(), "conflict");

    // All of them fit into one report.
    let channels = get(&api, &format!("/v1/workspaces/{id}/channels?limit=200")).await;
    let told = |list: &Value, counts: [&str; 2]| -> Vec<Value> {
        let ids = list["items"].as_array().unwrap().iter().map(|item| item["id"].clone());
        ids.map(
            |id| json!({"id": id, "last_seen_at": SystemClock.now(), counts[0]: 123_456_789, counts[1]: 123_456_789}),
        )
        .collect()
    };
    let body = json!({
        "agents": told(&all, ["conversations", "messages"]),
        "channels": told(&channels, ["messages_in", "messages_out"]),
    });
    let reported = api.json(ROOT, &format!("POST /v1/workspaces/{id}/report"), "", &body).await;
    assert_eq!((reported.status, reported.json()), (200, json!({"unknown": []})), "{}", reported.body);
    let list = get(&api, &format!("/v1/workspaces/{id}/channels?limit=200")).await;
    assert!(list["items"].as_array().unwrap().iter().all(|channel| channel["messages_in"] == 123_456_789));
    // Whoever has none of them has room.
    let other = api.workspace("other").await;
    agent(&api, &other, "a0").await;
}

async fn another_workspaces_are_not_there(kind: Kind) {
    let api = Api::start(kind).await;
    let (ours, theirs) = (api.workspace("ours").await, api.workspace("theirs").await);
    let (desk, foreign) = (agent(&api, &ours, "desk").await, agent(&api, &theirs, "desk").await);
    let door = channel(&api, &theirs, &foreign, "web").await;
    // Even those who may see both find each in its own workspace alone.
    for path in [format!("agents/{foreign}"), format!("channels/{door}")] {
        for request in ["GET", "DELETE", "PATCH"] {
            let body = json!({"enabled": false});
            let request = format!("{request} /v1/workspaces/{ours}/{path}");
            let answer = api.json(ROOT, &request, "if-match: *\r\n", &body).await;
            assert_eq!(answer.problem(), "not-found", "{request}");
        }
    }
    let token = api.token(json!({"name": "t", "role": "owner", "workspace_id": ours})).await;
    let report = json!({
        "agents": [{"id": foreign, "last_seen_at": SystemClock.now(), "messages": 7}, {"id": desk, "last_seen_at": SystemClock.now()}],
        "channels": [{"id": door, "last_seen_at": SystemClock.now(), "messages_in": 7}],
    });
    let answer = api.json(&token, &format!("POST /v1/workspaces/{theirs}/report"), "", &report).await;
    assert_eq!(answer.problem(), "not-found");
    let answer = api.json(&token, &format!("POST /v1/workspaces/{ours}/report"), "", &report).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"unknown": [foreign, door]})), "{}", answer.body);
    for path in [format!("agents/{foreign}"), format!("channels/{door}")] {
        let kept = get(&api, &format!("/v1/workspaces/{theirs}/{path}")).await;
        assert_eq!((&kept["last_seen_at"], &kept["enabled"]), (&Value::Null, &json!(true)));
    }
    assert_ne!(get(&api, &format!("/v1/workspaces/{ours}/agents/{desk}")).await["last_seen_at"], Value::Null);
}

async fn agents_end_with_their_workspace(kind: Kind) {
    let api = Api::start(kind).await;
    let (id, other) = (api.workspace("acme").await, api.workspace("other").await);
    let (desk, kept) = (agent(&api, &id, "desk").await, agent(&api, &other, "desk").await);
    channel(&api, &id, &desk, "web").await;
    channel(&api, &other, &kept, "web").await;
    assert_eq!(api.ask(ROOT, &format!("DELETE /v1/workspaces/{id}"), "").await.status, 202);
    // From then on nothing is added, while what is there can still be seen.
    assert_eq!(record(&api, &id, "late").await.problem(), "conflict");
    get(&api, &format!("/v1/workspaces/{id}/agents/{desk}")).await;
    let provision = api.world.store.read().await.unwrap().live_workflow("provision", &id).await.unwrap().unwrap();
    api.engine.turn_back(provision.id, "it is deleted").await.unwrap();
    api.engine.resume(1).await.unwrap();
    for request in [
        format!("GET /v1/workspaces/{id}/agents"),
        format!("GET /v1/workspaces/{id}/agents/{desk}"),
        format!("GET /v1/workspaces/{id}/channels"),
        format!("POST /v1/workspaces/{id}/report"),
    ] {
        assert_eq!(api.json(ROOT, &request, "", &json!({})).await.problem(), "not-found", "{request}");
    }
    let mut reader = api.world.store.read().await.unwrap();
    for (workspace, left) in [(&id, 0), (&other, 1)] {
        let workspace: WorkspaceId = workspace.parse().unwrap();
        assert_eq!(reader.agent_ids(workspace).await.unwrap().len(), left);
        assert_eq!(reader.agent_channel_ids(workspace).await.unwrap().len(), left);
    }
    drop(reader);
    // The slug is free again, and nothing is left of whoever had it.
    let again = api.workspace("acme").await;
    assert_eq!(get(&api, &format!("/v1/workspaces/{again}/agents")).await["items"], json!([]));
}

async fn a_backup_has_agents_and_channels(kind: Kind) {
    let api = Api::start(kind).await;
    let id = api.workspace("acme").await;
    let desk = agent(&api, &id, "desk").await;
    let door = channel(&api, &id, &desk, "web").await;
    let seen = json!({"agents": [{"id": desk, "last_seen_at": SystemClock.now(), "messages": 7}]});
    api.json(ROOT, &format!("POST /v1/workspaces/{id}/report"), "", &seen).await;
    let (file, elsewhere) = (api.world.path("backup.stead"), api.world.path("elsewhere"));
    api.world.store.backup(&file).await.unwrap();
    restore(&file, &elsewhere, std::sync::Arc::new(SystemClock)).await.unwrap();
    let (ours, theirs) = (&api.world.store, open(&elsewhere).await);
    let (workspace, desk): (WorkspaceId, AgentId) = (id.parse().unwrap(), desk.parse().unwrap());
    let (mut ours, mut theirs) = (ours.read().await.unwrap(), theirs.read().await.unwrap());
    let agent = theirs.agent(workspace, desk).await.unwrap().unwrap();
    assert_eq!((agent.messages, &agent), (7, &ours.agent(workspace, desk).await.unwrap().unwrap()));
    let door = door.parse().unwrap();
    let channel = theirs.agent_channel(workspace, door).await.unwrap();
    assert!(channel.is_some() && channel == ours.agent_channel(workspace, door).await.unwrap());
}
