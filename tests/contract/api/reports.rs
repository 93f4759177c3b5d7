//! What is reported of agents and their channels.

use serde_json::{Value, json};
use stead::audit;
use stead::clock::{Clock, SystemClock};

use super::agents::{agent, channel, get};
use super::{Api, ROOT};
use crate::{Kind, both};

both!(what_was_seen_never_goes_back, reports_at_once_are_in_nobodys_way);

async fn what_was_seen_never_goes_back(kind: Kind) {
    let api = Api::start(kind).await;
    let id = api.workspace("acme").await;
    let desk = agent(&api, &id, "desk").await;
    let door = channel(&api, &id, &desk, "telegram").await;
    // The machine's token reports, and does nothing else.
    let scopes = json!({"name": "node", "role": "admin", "workspace_id": id, "scopes": ["agent.report"]});
    let machine = api.token(scopes).await;
    assert_eq!(api.ask(&machine, &format!("GET /v1/workspaces/{id}/agents"), "").await.problem(), "forbidden");
    let report = async |body: Value| {
        let answer = api.json(&machine, &format!("POST /v1/workspaces/{id}/report"), "", &body).await;
        (answer.status, answer)
    };
    let entries = audit::list(&api.world.store, Some(&id), 100).await.unwrap().len();
    let told = |at: &str, one: u64, two: u64| {
        json!({
            "agents": [{"id": desk, "last_seen_at": at, "conversations": one, "messages": two}],
            "channels": [{"id": door, "last_seen_at": at, "messages_in": one, "messages_out": two}],
        })
    };
    let seen = async || {
        let (agent, channel) = (
            get(&api, &format!("/v1/workspaces/{id}/agents/{desk}")).await,
            get(&api, &format!("/v1/workspaces/{id}/channels/{door}")).await,
        );
        let of = |what: &Value, one: &str, two: &str| {
            (
                what["last_seen_at"].as_str().unwrap().to_owned(),
                what[one].as_u64().unwrap(),
                what[two].as_u64().unwrap(),
            )
        };
        let agent = of(&agent, "conversations", "messages");
        assert_eq!(agent, of(&channel, "messages_in", "messages_out"));
        agent
    };
    for (at, one, two, kept) in [
        ("2026-01-02T00:00:00.5Z", 3, 10, ("2026-01-02T00:00:00.500Z", 3, 10)),
        // The same again, late ones, and such as know more of one thing and less of another.
        ("2026-01-02T00:00:00.5Z", 3, 10, ("2026-01-02T00:00:00.500Z", 3, 10)),
        ("2026-01-01T00:00:00Z", 2, 9, ("2026-01-02T00:00:00.500Z", 3, 10)),
        ("2026-01-01T00:00:00Z", 4, 9, ("2026-01-02T00:00:00.500Z", 4, 10)),
        ("2026-01-02T02:00:01+02:00", 0, 0, ("2026-01-02T00:00:01Z", 4, 10)),
        ("2026-01-02T00:00:00.999Z", 0, 11, ("2026-01-02T00:00:01Z", 4, 11)),
    ] {
        let (status, answer) = report(told(at, one, two)).await;
        assert_eq!((status, answer.json()), (200, json!({"unknown": []})), "{}", answer.body);
        assert_eq!(seen().await, (kept.0.to_owned(), kept.1, kept.2), "{at}");
    }
    // One that tells of the same thing twice counts by what is highest.
    let at = "2026-01-02T00:00:01Z";
    let mut twice = told(at, 6, 11);
    for list in ["agents", "channels"] {
        let other = told(at, 5, 12)[list][0].clone();
        twice[list].as_array_mut().unwrap().push(other);
    }
    assert_eq!(report(twice).await.0, 200);
    assert_eq!(seen().await, (at.to_owned(), 6, 12));

    // Nothing of a report that cannot be is taken.
    let later = (SystemClock.now() + chrono::TimeDelta::minutes(6)).to_rfc3339();
    for (at, count) in [(later.as_str(), 100), ("1969-12-31T23:59:59Z", 100), (at, 1 << 53)] {
        let mut wrong = told(at, 7, count);
        wrong["agents"] = told(&SystemClock.now().to_rfc3339(), 50, 50)["agents"].clone();
        let (status, answer) = report(wrong).await;
        assert_eq!((status, answer.problem().as_str()), (422, "invalid"), "{at} {}", answer.body);
    }
    for wrong in [
        json!({"agents": [{"id": desk}]}),
        json!({"agents": [{"id": desk, "last_seen_at": at, "messages": -1}]}),
        json!({"agents": [{"id": desk, "last_seen_at": at, "text": "hello"}]}),
        json!({"agents": [{"id": "desk", "last_seen_at": at}]}),
        json!({"agents": vec![told(at, 0, 0)["agents"][0].clone(); 101]}),
    ] {
        assert_eq!(report(wrong.clone()).await.0, 422, "{wrong}");
    }
    assert_eq!(seen().await, (at.to_owned(), 6, 12));
    // A clock that is a little ahead is taken for ours.
    let (ahead, before) = (SystemClock.now() + chrono::TimeDelta::minutes(4), SystemClock.now());
    assert_eq!(report(told(&ahead.to_rfc3339(), 0, 0)).await.0, 200);
    let kept: chrono::DateTime<chrono::Utc> = seen().await.0.parse().unwrap();
    assert!(before <= kept && kept <= SystemClock.now(), "{before} {kept}");

    // Reports change nothing that somebody may have read to change it, and are not what people did.
    assert_eq!(audit::list(&api.world.store, Some(&id), 100).await.unwrap().len(), entries);
    let path = format!("PATCH /v1/workspaces/{id}/agents/{desk}");
    let changed = api.json(ROOT, &path, "if-match: \"1\"\r\n", &json!({"enabled": false})).await;
    assert_eq!((changed.status, &changed.json()["messages"]), (200, &json!(12)), "{}", changed.body);
    // What is gone is told, and the rest is taken.
    api.ask(ROOT, &format!("DELETE /v1/workspaces/{id}/channels/{door}"), "").await;
    let (status, answer) = report(told("2026-01-01T00:00:00Z", 9, 0)).await;
    assert_eq!((status, answer.json()), (200, json!({"unknown": [door]})));
    assert_eq!(get(&api, &format!("/v1/workspaces/{id}/agents/{desk}")).await["conversations"], 9);
}

async fn reports_at_once_are_in_nobodys_way(kind: Kind) {
    let api = Api::start(kind).await;
    let id = api.workspace("acme").await;
    let mut agents = Vec::new();
    for n in 0..8 {
        agents.push(agent(&api, &id, &format!("a{n}")).await);
    }
    let reports = (0..16_usize).map(|n| {
        let told = (0..8).map(|k| &agents[(k + n) % 8]);
        let told: Vec<Value> =
            told.map(|id| json!({"id": id, "last_seen_at": SystemClock.now(), "messages": n})).collect();
        let (api, id) = (&api, &id);
        async move { api.json(ROOT, &format!("POST /v1/workspaces/{id}/report"), "", &json!({"agents": told})).await }
    });
    for answer in futures::future::join_all(reports).await {
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let list = get(&api, &format!("/v1/workspaces/{id}/agents")).await;
    assert!(list["items"].as_array().unwrap().iter().all(|agent| agent["messages"] == 15), "{list}");
}
